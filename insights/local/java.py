"""Find a Java that the servers and Spark run on."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from insights.errors import UserError

SUPPORTED = (17, 21)
SYSTEM = Path("/usr/lib/jvm")


def find_java(java_home: Path | None = None, system: Path = SYSTEM) -> Path:
    """The `bin/java` of a supported Java: of `java_home` if given, else on PATH, else under `system`.

    Raises:
        UserError: none is there, or `java_home` holds another version.
    """
    wanted = " or ".join(str(version) for version in SUPPORTED)
    if java_home is not None:
        found = read_java_version(java_home / "bin/java")
        if found in SUPPORTED:
            return java_home / "bin/java"
        seen = f"Java {found}" if found else "no Java"
        raise UserError(f"JAVA_HOME is {java_home}, which holds {seen}: point it at Java {wanted}, or unset it.")
    for candidate in _candidates(system):
        if read_java_version(candidate) in SUPPORTED:
            return candidate
    raise UserError(
        f"Java {wanted} was not found on PATH or under {system}: "
        "install it (Debian: apt install openjdk-17-jre-headless) or set JAVA_HOME."
    )


def read_java_version(java: Path) -> int | None:
    """The feature version (17 for 17.0.15), or None when the file does not run as Java."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return None
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match.group(1)) if match else None


def _candidates(system: Path) -> Iterator[Path]:
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve()
    yield from sorted(path for path in system.glob("*/bin/java") if not path.parent.parent.is_symlink())
