"""What the environment of this process gives to its children."""

import pytest

from insights.environment import extend_no_proxy, read_inherited_environment


def test_hosts_without_a_proxy_are_added_to_those_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", ".corp.example, 10.0.0.0/8")
    monkeypatch.setenv("no_proxy", "localhost,.corp.example")
    assert extend_no_proxy("127.0.0.1", "localhost") == "localhost,.corp.example,10.0.0.0/8,127.0.0.1"
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    assert extend_no_proxy("127.0.0.1", "localhost") == "127.0.0.1,localhost"


def test_children_encode_file_names_in_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PGHOST", "elsewhere")
    environment = read_inherited_environment()
    assert environment["LC_ALL"] == "C.UTF-8"
    assert "PGHOST" not in environment
