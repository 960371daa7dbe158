"""The servers' jars: coordinates and hashes in `jars.lock`, files in a cache that clones share.

`python -m insights.local.jars` downloads what is missing; with `--lock` it resolves again and rewrites the locks.
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
"""Of what only the Spark image holds, and only when its build asks: it is too large for every machine's cache."""
PATTERN = "[organisation]__[artifact]__[revision](__[classifier]).[ext]"


class Root(NamedTuple):
    """A coordinate that a group asks for by name."""

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
        # The token provider was published for 4.0.0 only; it serves 4.1 as well.
        Root("org.apache.spark", "spark-token-provider-kafka-0-10_2.13", "4.0.0", transitive=False),
        Root("org.apache.kafka", "kafka-clients", "3.9.1", transitive=False),
        Root("org.apache.commons", "commons-pool2", "2.12.1", transitive=False),
    ],
}
# The versions of Hadoop that pyspark bundles and of what that Hadoop was built with.
IMAGE_ROOTS: dict[str, list[Root]] = {
    "object-store": [
        Root("org.apache.hadoop", "hadoop-aws", "3.4.2", transitive=False),
        Root("software.amazon.awssdk", "bundle", "2.29.52", transitive=False),
        Root("software.amazon.s3.analyticsaccelerator", "analyticsaccelerator-s3", "1.2.1", transitive=False),
    ],
}
_GROUPS = [*ROOTS, *IMAGE_ROOTS]


@dataclass(frozen=True, order=True)
class Jar:
    """One line of the lock."""

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

    def line(self) -> str:
        return f"{self.group}  {self.coordinate}  {self.sha256}"

    def intact(self, cache: Path) -> bool:
        path = cache / self.file
        return path.is_file() and hash_file(path) == self.sha256


def hash_file(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """Every jar of the lock.

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
    """The files of a group, in the lock's order."""
    return [cache / jar.file for jar in read_lock(lock) if jar.group == group]


def ensure_jars(jars: Sequence[Jar], cache: Path, java: Path) -> int:
    """Make every jar present and intact in `cache`; returns how many were downloaded.

    Raises:
        UserError: a jar could not be downloaded or kept, or its content is not what the lock says.
    """
    try:
        return _ensure(jars, cache, java)
    except OSError as error:
        raise UserError(
            f"The jars cannot be kept in {cache} ({error.strerror}): "
            "free some space, or set INSIGHTS_CACHE to a directory that can be written."
        ) from None


def _ensure(jars: Sequence[Jar], cache: Path, java: Path) -> int:
    cache.mkdir(parents=True, exist_ok=True)
    missing = {jar.file: jar for jar in jars if not jar.intact(cache)}
    if not missing:
        return 0
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as directory:
        download = Path(directory)
        problem = _ivy(java, download, _dependencies(missing.values()), use_poms=False)
        for jar in missing.values():
            if not (download / jar.file).is_file():
                raise UserError(
                    f"{jar.coordinate} could not be downloaded ({problem}): check the network, then run again."
                )
            if not jar.intact(download):
                raise UserError(
                    f"{jar.coordinate} was downloaded with another content than jars.lock says (sha256 "
                    f"{hash_file(download / jar.file)[:12]}..., expected {jar.sha256[:12]}...): "
                    "check the proxy or mirror that serves it, then run again."
                )
        for jar in missing.values():
            (download / jar.file).replace(cache / jar.file)
    return len(missing)


def resolve_locks(lock: Path, java: Path, groups: Mapping[str, Sequence[Root]]) -> None:
    """Resolve every group afresh and rewrite the lock."""
    jars: set[Jar] = set()
    for group, roots in groups.items():
        with tempfile.TemporaryDirectory() as directory:
            download = Path(directory)
            problem = _ivy(java, download, "".join(_root(root) for root in roots), use_poms=True)
            files = sorted(download.glob("*.jar"))
            if not all((download / f"{r.organisation}__{r.name}__{r.version}.jar").is_file() for r in roots):
                raise UserError(f"The jars of group {group} could not be resolved ({problem}): check the network.")
            for file in files:
                organisation, name, version, *classifier = file.name.removesuffix(".jar").split("__")
                if classifier and classifier[0].startswith("osx"):
                    continue
                jars.add(Jar(group, organisation, name, version, classifier[0] if classifier else "", hash_file(file)))
    header = "# group  organisation:name:version[:classifier]  sha256 (rewritten by `make lock`)\n"
    lock.write_text(header + "".join(jar.line() + "\n" for jar in sorted(jars)))


def _dependencies(jars: Iterable[Jar]) -> str:
    """One element a module: Ivy drops the second of two elements that differ in the classifier only."""
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


def _root(root: Root) -> str:
    conf = "default->runtime,master" if root.transitive else "default->master"
    return f'<dependency org="{root.organisation}" name="{root.name}" rev="{root.version}" conf="{conf}"/>'


def _ivy(java: Path, into: Path, dependencies: str, *, use_poms: bool) -> str:
    """Download into a directory; returns the last lines that Ivy said, for an error's text."""
    with tempfile.TemporaryDirectory(prefix=".ivy-", dir=into) as scratch:
        settings, module = Path(scratch, "settings.xml"), Path(scratch, "ivy.xml")
        # The lock's sha256 is checked by us: without POMs and checksum files a download is one request a jar.
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
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip(" .")]
    return said[-1][:200] if said else f"exit code {done.returncode}"


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m insights.local.jars", description=__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve again and rewrite the locks")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="another folder than this machine's cache")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"only these of {', '.join(_GROUPS)}")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if unknown := set(options.groups).difference(_GROUPS):
        parser.error(f"there is no group {min(unknown)!r}: choose from {', '.join(_GROUPS)}")
    try:
        cache, java = (options.into, find_java()) if options.into else _of_this_machine()
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
    print(f"{count} jars downloaded to {cache}." if count else f"Every jar is in {cache}.")


def _of_this_machine() -> tuple[Path, Path]:
    """The cache and the Java; the settings are read here so that an image's build does not follow their edits."""
    from insights.settings import LocalSettings, load

    settings = load(LocalSettings)
    return settings.jars, find_java(settings.java_home)


if __name__ == "__main__":
    main()
