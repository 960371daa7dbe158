"""The table of addresses on terminals of different widths."""

import io
from typing import Any

import pytest
from rich.console import Console

from insights.cli.tables import print_addresses

PASSWORD = "gU9j-Xw_" * 4
LONG_URL = "https://api.example.org/v2/people/random/api/1.4/?inc=login,name,location&key=***&format=json&noinfo=true"


def render(addresses: list[dict[str, Any]], *, width: int, terminal: bool = True) -> str:
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=terminal, color_system=None, highlight=False)
    print_addresses(console, addresses)
    return output.getvalue()


def address(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "url": "", "host": "", "port": 0, "database": "", "user": "", "password": ""} | values


ADDRESSES = [
    address(
        "postgres", host="127.0.0.1", port=5432, database="insights", user="insights", password=PASSWORD, state="up"
    ),
    address("source", url=LONG_URL),
]


@pytest.mark.parametrize(("width", "terminal"), [(40, True), (80, True), (120, True), (80, False), (400, True)])
def test_every_value_is_whole_on_one_line_at_any_width(width: int, terminal: bool) -> None:
    lines = render(ADDRESSES, width=width, terminal=terminal).splitlines()
    for value in ("127.0.0.1:5432", "insights", PASSWORD, LONG_URL):
        assert any(value in line.split() for line in lines), value


def test_addresses_that_fit_are_a_table_and_others_a_list() -> None:
    wide = render(ADDRESSES, width=400)
    assert [line.split()[0] for line in wide.splitlines() if "5432" in line or "api.example" in line] == [
        "postgres",
        "source",
    ]
    narrow = render(ADDRESSES, width=80).splitlines()
    assert narrow == [
        "Addresses and logins",
        "",
        "postgres",
        "  address   127.0.0.1:5432",
        "  database  insights",
        "  user      insights",
        f"  password  {PASSWORD}",
        "  state     up",
        "",
        "source",
        f"  address   {LONG_URL}",
    ]


def test_markup_in_a_value_is_text() -> None:
    text = render([address("source", url="http://h/[red]x[/]?q=:warning:")], width=80)
    assert "http://h/[red]x[/]?q=:warning:" in text
