"""Find a Java that the servers and Spark support."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from insights.errors import UserError

SUPPORTED = (17, 21)
SYSTEM = Path("/usr/lib/jvm")


def find_java(java_home: Path | None = None, system: Path = SYSTEM) -> Path:
    """The `bin/java` of a supported Java: in `java_home` if given, else on PATH, else under `system`.

    Raises:
        UserError: there is none, or `java_home` holds another version.
    """
    supported = " or ".join(str(version) for version in SUPPORTED)
    if java_home is not None:
        version = read_java_version(java_home / "bin/java")
        if version in SUPPORTED:
            return java_home / "bin/java"
        content = f"Java {version}" if version else "no Java"
        raise UserError(f"JAVA_HOME is {java_home}, which holds {content}: point it at Java {supported}, or unset it.")
    for candidate in _list_candidates(system):
        if read_java_version(candidate) in SUPPORTED:
            return candidate
    raise UserError(
        f"Java {supported} was not found on PATH or under {system}: "
        "install it (Debian: apt install openjdk-17-jre-headless) or set JAVA_HOME."
    )


def read_java_version(java: Path) -> int | None:
    """The feature version (17 for 17.0.15), or None if the file is not a Java executable."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return None
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match.group(1)) if match else None


def _list_candidates(system: Path) -> Iterator[Path]:
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve()
    yield from sorted(path for path in system.glob("*/bin/java") if not path.parent.parent.is_symlink())
