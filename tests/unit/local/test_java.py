import pytest

from insights.errors import UserError
from insights.local.java import find_java


def install_java(folder, version):
    """A fake installation; `java -version` prints what a real one does."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
    program.chmod(0o755)
    return program


def test_java_home_takes_precedence_over_path(tmp_path, monkeypatch):
    expected = install_java(tmp_path / "chosen", "21.0.4")
    monkeypatch.setenv("PATH", str(install_java(tmp_path / "other", "17.0.1").parent))
    assert find_java(tmp_path / "chosen", tmp_path) == expected


def test_a_supported_java_of_the_system_is_found_when_path_has_another(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(install_java(tmp_path / "path", "25.0.1").parent))
    install_java(tmp_path / "jvm" / "java-11", "11.0.2")
    supported = install_java(tmp_path / "jvm" / "java-17", "17.0.15")
    assert find_java(None, tmp_path / "jvm") == supported


def test_java_8_is_not_supported(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(install_java(tmp_path / "path", "1.8.0_402").parent))
    with pytest.raises(
        UserError, match=r"Java 17 or 21 was not found on PATH or under .*: install it .* or set JAVA_HOME"
    ):
        find_java(None, tmp_path / "jvm")


@pytest.mark.parametrize(("version", "content"), [("11.0.2", "Java 11"), (None, "no Java")])
def test_a_wrong_java_home_is_named_with_what_it_holds(tmp_path, version, content):
    if version:
        install_java(tmp_path / "home", version)
    with pytest.raises(UserError, match=f"JAVA_HOME is .*home, which holds {content}"):
        find_java(tmp_path / "home", tmp_path)
