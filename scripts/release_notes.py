"""Print the release notes of a tag: its section of CHANGELOG.md.

`python scripts/release_notes.py v1.2.3` fails when the tag is not the version in pyproject.toml, or when the change log
has no such section.
"""

import re
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


class ReleaseError(Exception):
    """The tag cannot be released; the message says what to do."""


def read_section(changelog: str, version: str) -> str:
    """Return the text below `## [version] - date`, without the heading and the blank lines around it.

    Raises:
        ReleaseError: there is no such section, it has no date, or it is empty.
    """
    found = re.search(rf"^## \[{re.escape(version)}\](.*)\n((?:(?!## \[).*\n?)*)", changelog, re.MULTILINE)
    if found is None:
        raise ReleaseError(f"CHANGELOG.md has no section [{version}]: write what changed.")
    if not re.fullmatch(r" - \d{4}-\d{2}-\d{2}", found[1]):
        raise ReleaseError(f"The section [{version}] of CHANGELOG.md has no date: write ## [{version}] - YYYY-MM-DD.")
    section = found[2].strip()
    if not section:
        raise ReleaseError(f"The section [{version}] of CHANGELOG.md is empty: write what changed.")
    return section + "\n"


def read_release_notes(tag: str, pyproject: str, changelog: str) -> str:
    """Return the section of the change log that belongs to a tag.

    Raises:
        ReleaseError: the tag is not `v` and the project's version, or the section is missing.
    """
    version = tomllib.loads(pyproject)["project"]["version"]
    if tag != f"v{version}":
        raise ReleaseError(f"The tag is {tag} and the version in pyproject.toml is {version}: tag v{version}.")
    return read_section(changelog, version)


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        sys.exit("usage: release_notes.py TAG")
    pyproject, changelog = (REPOSITORY / name for name in ("pyproject.toml", "CHANGELOG.md"))
    try:
        print(read_release_notes(arguments[0], pyproject.read_text(), changelog.read_text()), end="")
    except ReleaseError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
