"""The environment of the peers: Spark 3.5 in its own virtual environment, and the jars of this lock.

`python -m benchmarks.peers.environment` creates it; with `--lock` it resolves the jars again.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from insights.errors import UserError, print_error
from insights.local.jars import KAFKA_VERSION, Root, ensure_jars, list_group_files, read_lock, resolve_locks
from insights.local.java import find_java
from insights.settings import LocalSettings, load

LOCK = Path(__file__).with_name("jars.lock")
ROOTS = {
    "connector": [Root("com.datastax.spark", "spark-cassandra-connector_2.12", "3.5.1")],
    "spark3": [
        Root("org.apache.spark", "spark-sql-kafka-0-10_2.12", "3.5.7", transitive=False),
        Root("org.apache.spark", "spark-token-provider-kafka-0-10_2.12", "3.5.4", transitive=False),
        Root("org.apache.kafka", "kafka-clients", "3.4.1", transitive=False),
        Root("org.apache.commons", "commons-pool2", "2.11.1", transitive=False),
        Root("org.postgresql", "postgresql", "42.7.14", transitive=False),
    ],
    "connect": [Root("org.apache.kafka", "connect-runtime", KAFKA_VERSION)],
    "debezium-postgres": [Root("io.debezium", "debezium-connector-postgres", "3.6.1.Final")],
    # Not every module of the version of Hibernate that the connector names is published.
    "debezium-jdbc": [
        Root("io.debezium", "debezium-connector-jdbc", "3.6.0.Final", transitive=False),
        Root("io.debezium", "debezium-sink", "3.6.0.Final"),
        Root("io.debezium", "debezium-connector-common", "3.6.0.Final"),
        Root("io.debezium", "debezium-connect-plugins", "3.6.0.Final"),
        Root("io.debezium", "debezium-openlineage-api", "3.6.0.Final"),
        Root("org.hibernate.orm", "hibernate-agroal", "7.2.19.Final"),
        Root("org.hibernate.orm", "hibernate-core", "7.2.19.Final"),
        Root("org.postgresql", "postgresql", "42.7.14", transitive=False),
    ],
}
REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "benchmarks-connector.txt"


def ensure_spark_python(cache: Path) -> Path:
    """The Python of the environment with Spark 3.5, which is created the first time.

    Raises:
        UserError: it cannot be created.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    home = cache / "benchmarks" / digest
    python, complete = home / "bin/python", home / "complete"
    if complete.exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(REQUIREMENTS)]
    for command in ([uv, "venv", "--quiet", "--python", sys.executable, str(home)], install):
        if subprocess.run(command, check=False).returncode:
            raise UserError(f"Spark 3.5 could not be installed into {home}: check the disk and the network.")
    complete.touch()
    return python


def ensure_peer_jars(cache: Path, java: Path, *groups: str) -> list[Path]:
    """The jars of these groups, downloaded the first time.

    Raises:
        UserError: a jar cannot be downloaded, or its content differs from the lock.
    """
    ensure_jars([jar for jar in read_lock(LOCK) if jar.group in groups], cache, java)
    return [file for group in groups for file in list_group_files(group, cache, LOCK)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", action="store_true", help="resolve the jars again and rewrite jars.lock")
    options = parser.parse_args()
    settings = load(LocalSettings)
    try:
        java = find_java(settings.java_home)
        if options.lock:
            resolve_locks(LOCK, java, ROOTS)
        ensure_peer_jars(settings.jars, java, *ROOTS)
        ensure_spark_python(settings.cache.expanduser())
    except UserError as error:
        print_error(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
