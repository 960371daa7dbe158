"""The notes of a release are its section of the change log, and a tag without one is rejected."""

import tomllib

import pytest

from scripts.release_notes import ReleaseError, main, read_release_notes, read_section
from tests.helpers.support import REPOSITORY

CHANGELOG = """\
# Change log

## [Unreleased]

### Added

- Something new.

## [1.2.0] - 2026-11-27

### Changed

- One thing, see [the guide](docs/guide.md).

## [1.1.0]

- Undated.

## [1.0.0] - 2026-11-21
"""


def test_a_section_ends_where_the_next_one_begins() -> None:
    assert read_section(CHANGELOG, "1.2.0") == "### Changed\n\n- One thing, see [the guide](docs/guide.md).\n"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1.3.0", "no section"),
        ("1.2", "no section"),
        ("1x2.0", "no section"),
        ("1.1.0", "no date"),
        ("1.0.0", "is empty"),
    ],
)
def test_a_version_without_a_written_section_is_rejected(version: str, message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        read_section(CHANGELOG, version)


def test_a_tag_of_another_version_is_rejected() -> None:
    pyproject = '[project]\nversion = "1.2.0"\n'
    assert read_release_notes("v1.2.0", pyproject, CHANGELOG).startswith("### Changed")
    for tag in ("v1.2.1", "1.2.0", "v1.2.0-rc.1"):
        with pytest.raises(ReleaseError, match=rf"The tag is {tag} .* tag v1\.2\.0"):
            read_release_notes(tag, pyproject, CHANGELOG)


def test_the_current_version_can_be_released(capsys: pytest.CaptureFixture[str]) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    main([f"v{version}"])
    assert capsys.readouterr().out.strip() in (REPOSITORY / "CHANGELOG.md").read_text()


def test_a_wrong_tag_ends_the_command_in_one_sentence() -> None:
    with pytest.raises(SystemExit, match=r"^error: The tag is v0\.0\.0 "):
        main(["v0.0.0"])
