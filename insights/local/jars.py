"""The servers' jars: coordinates and hashes in `jars.lock`, files in a cache that all clones share.

`python -m insights.local.jars` downloads missing jars; with `--lock` it resolves all groups and rewrites the locks.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from insights.errors import UserError, print_error
from insights.local.java import find_java
from insights.local.package import find_package_directory

LOCK = Path(__file__).parents[2] / "jars.lock"
IMAGE_LOCK = LOCK.parent / "images/spark/object-store.lock"
"""Jars that only the Spark image holds, and only on request: they are too large for every machine's cache."""
PATTERN = "[organisation]__[artifact]__[revision](__[classifier]).[ext]"


class Root(NamedTuple):
    """A coordinate that a group requires directly."""

    organisation: str
    name: str
    version: str
    transitive: bool = True


KAFKA_VERSION = "4.3.1"
SPARK_VERSION = "4.1.3"
ROOTS: dict[str, list[Root]] = {
    "kafka": [
        Root("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        Root("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4", transitive=False),
    ],
    "cassandra": [
        Root("org.apache.cassandra", "cassandra-all", "5.0.9"),
        Root("com.github.jbellis", "jamm", "0.4.0", transitive=False),
    ],
    "spark": [
        Root("org.apache.spark", "spark-sql-kafka-0-10_2.13", SPARK_VERSION, transitive=False),
        # The token provider was published for Spark 4.0.0 only and works with 4.1.
        Root("org.apache.spark", "spark-token-provider-kafka-0-10_2.13", "4.0.0", transitive=False),
        Root("org.apache.kafka", "kafka-clients", "3.9.1", transitive=False),
        Root("org.apache.commons", "commons-pool2", "2.12.1", transitive=False),
    ],
}
# The version of Hadoop that pyspark bundles, and the versions that this Hadoop was built with.
IMAGE_ROOTS: dict[str, list[Root]] = {
    "object-store": [
        Root("org.apache.hadoop", "hadoop-aws", "3.4.2", transitive=False),
        Root("software.amazon.awssdk", "bundle", "2.29.52", transitive=False),
        Root("software.amazon.s3.analyticsaccelerator", "analyticsaccelerator-s3", "1.2.1", transitive=False),
        # Not published for every patch release of Spark.
        Root("org.apache.spark", "spark-hadoop-cloud_2.13", "4.1.2", transitive=False),
    ],
}
_GROUPS = [*ROOTS, *IMAGE_ROOTS]


@dataclass(frozen=True, order=True)
class Jar:
    """A jar and its hash, one line of the lock."""

    group: str
    organisation: str
    name: str
    version: str
    classifier: str
    sha256: str

    @property
    def file(self) -> str:
        parts = [self.organisation, self.name, self.version, *([self.classifier] if self.classifier else [])]
        return "__".join(parts) + ".jar"

    @property
    def coordinate(self) -> str:
        return ":".join([self.organisation, self.name, self.version, *([self.classifier] if self.classifier else [])])

    def format_line(self) -> str:
        return f"{self.group}  {self.coordinate}  {self.sha256}"

    def is_intact(self, cache: Path) -> bool:
        """Whether `cache` holds the jar with the content that the lock specifies."""
        path = cache / self.file
        return path.is_file() and hash_file(path) == self.sha256


def hash_file(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The lock's jars, in its order.

    Raises:
        UserError: a line is not `group  organisation:name:version[:classifier]  sha256`.
    """
    jars = []
    for number, text in enumerate(lock.read_text().splitlines(), 1):
        line = text.partition("#")[0].split()
        if not line:
            continue
        coordinate = line[1].split(":") if len(line) == 3 else []
        if len(coordinate) not in (3, 4) or len(line[2]) != 64:
            raise UserError(f"{lock.name} line {number} is {text!r}: restore the file from version control.")
        organisation, name, version, classifier = [*coordinate, ""][:4]
        jars.append(Jar(line[0], organisation, name, version, classifier, line[2]))
    return jars


def list_group_files(group: str, cache: Path, lock: Path = LOCK) -> list[Path]:
    """The paths of a group's jars in `cache`, in the lock's order."""
    return [cache / jar.file for jar in read_lock(lock) if jar.group == group]


def ensure_jars(jars: Sequence[Jar], cache: Path, java: Path) -> int:
    """Download the jars that are missing from `cache` or damaged in it. Returns how many.

    Raises:
        UserError: a jar could not be downloaded or stored, or its content differs from the lock.
    """
    try:
        return _download_missing(jars, cache, java)
    except OSError as error:
        raise UserError(
            f"The jars cannot be stored in {cache} ({error.strerror}): "
            "free some space, or set INSIGHTS_CACHE to a writable directory."
        ) from None


def _download_missing(jars: Sequence[Jar], cache: Path, java: Path) -> int:
    cache.mkdir(parents=True, exist_ok=True)
    missing = {jar.file: jar for jar in jars if not jar.is_intact(cache)}
    if not missing:
        return 0
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as directory:
        download = Path(directory)
        ivy_message = _run_ivy(java, download, _render_jars(missing.values()), use_poms=False)
        for jar in missing.values():
            if not (download / jar.file).is_file():
                raise UserError(
                    f"{jar.coordinate} could not be downloaded ({ivy_message}): check the network, then try again."
                )
            if not jar.is_intact(download):
                raise UserError(
                    f"{jar.coordinate} was downloaded with content that differs from jars.lock (SHA-256 "
                    f"{hash_file(download / jar.file)[:12]}..., expected {jar.sha256[:12]}...): "
                    "check the proxy or mirror that serves it, then try again."
                )
        for jar in missing.values():
            (download / jar.file).replace(cache / jar.file)
    return len(missing)


def resolve_locks(lock: Path, java: Path, groups: Mapping[str, Sequence[Root]]) -> None:
    """Resolve the dependencies of every group and rewrite the lock.

    Raises:
        UserError: a group could not be resolved.
    """
    jars: set[Jar] = set()
    for group, roots in groups.items():
        with tempfile.TemporaryDirectory() as directory:
            download = Path(directory)
            ivy_message = _run_ivy(java, download, "".join(_render_root(root) for root in roots), use_poms=True)
            files = sorted(download.glob("*.jar"))
            if not all((download / f"{r.organisation}__{r.name}__{r.version}.jar").is_file() for r in roots):
                raise UserError(f"The jars of group {group} could not be resolved ({ivy_message}): check the network.")
            for file in files:
                organisation, name, version, *classifier = file.name.removesuffix(".jar").split("__")
                if classifier and classifier[0].startswith("osx"):
                    continue
                jars.add(Jar(group, organisation, name, version, classifier[0] if classifier else "", hash_file(file)))
    header = "# group  organisation:name:version[:classifier]  sha256 (rewritten by `make lock`)\n"
    lock.write_text(header + "".join(jar.format_line() + "\n" for jar in sorted(jars)))


def _render_jars(jars: Iterable[Jar]) -> str:
    """One element per module: Ivy drops the second of two elements that differ only in the classifier."""
    modules: dict[tuple[str, str, str], list[str]] = {}
    for jar in jars:
        classifier = f" m:classifier={quoteattr(jar.classifier)}" if jar.classifier else ""
        artifact = f'<artifact name={quoteattr(jar.name)} type="jar" ext="jar"{classifier}/>'
        modules.setdefault((jar.organisation, jar.name, jar.version), []).append(artifact)
    return "".join(
        f"<dependency org={quoteattr(organisation)} name={quoteattr(name)} rev={quoteattr(version)}"
        f' transitive="false" conf="default->default">{"".join(artifacts)}</dependency>'
        for (organisation, name, version), artifacts in modules.items()
    )


def _render_root(root: Root) -> str:
    conf = "default->runtime,master" if root.transitive else "default->master"
    return f'<dependency org="{root.organisation}" name="{root.name}" rev="{root.version}" conf="{conf}"/>'


def _run_ivy(java: Path, into: Path, dependencies: str, *, use_poms: bool) -> str:
    """Download into a directory. Returns the last line of Ivy's output, which an error message can quote."""
    with tempfile.TemporaryDirectory(prefix=".ivy-", dir=into) as scratch:
        settings, module = Path(scratch, "settings.xml"), Path(scratch, "ivy.xml")
        # The lock's hash replaces POMs and checksum files, so that a download takes one request per jar.
        checksums = "" if use_poms else '<property name="ivy.checksums" value="" override="true"/>'
        settings.write_text(
            f'<ivysettings>{checksums}<settings defaultResolver="maven"/><caches defaultCacheDir="{scratch}/cache"/>'
            f'<resolvers><ibiblio name="maven" m2compatible="true" usepoms="{str(use_poms).lower()}"/></resolvers>'
            "</ivysettings>"
        )
        conflicts = "" if use_poms else '<conflicts><manager org="*" name="all"/></conflicts>'
        module.write_text(
            '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">'
            '<info organisation="insights" module="jars" revision="1"/><configurations><conf name="default"/>'
            f"</configurations><dependencies>{dependencies}</dependencies>{conflicts}</ivy-module>"
        )
        classpath = ":".join(
            str(path) for path in sorted((find_package_directory("pyspark") / "jars").glob("ivy-*.jar"))
        )
        command = [str(java), "-cp", classpath, "org.apache.ivy.Main", "-settings", str(settings), "-ivy", str(module)]
        command += ["-confs", "default", "-types", "jar", "bundle", "-retrieve", f"{into}/{PATTERN}", "-warn"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip(" .")]
    return lines[-1][:200] if lines else f"exit code {result.returncode}"


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m insights.local.jars", description=__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve all groups and rewrite the locks")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="download here instead of into this machine's cache"
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"only these groups, of {', '.join(_GROUPS)}")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if unknown := set(options.groups).difference(_GROUPS):
        parser.error(f"there is no group {min(unknown)!r}: choose from {', '.join(_GROUPS)}")
    try:
        cache, java = (options.into, find_java()) if options.into else _read_settings()
        if options.lock:
            resolve_locks(LOCK, java, ROOTS)
            resolve_locks(IMAGE_LOCK, java, IMAGE_ROOTS)
        jars = read_lock()
        if options.groups:
            jars = [jar for jar in jars + read_lock(IMAGE_LOCK) if jar.group in options.groups]
        count = ensure_jars(jars, cache, java)
    except UserError as error:
        print_error(error)
        sys.exit(1)
    jars_downloaded = "1 jar was" if count == 1 else f"{count} jars were"
    print(f"{jars_downloaded} downloaded to {cache}." if count else f"Every jar is in {cache}.")


def _read_settings() -> tuple[Path, Path]:
    """This machine's cache and Java. The import is local because an image's build copies no settings module."""
    from insights.settings import LocalSettings, load

    settings = load(LocalSettings)
    return settings.jars, find_java(settings.java_home)


if __name__ == "__main__":
    main()
