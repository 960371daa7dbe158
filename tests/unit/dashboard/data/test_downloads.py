"""Files of users: unchanged when read back, inert in a spreadsheet, bounded in size."""

import codecs
import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.data import downloads
from insights.queries.search import UserFilter, UserSummary

AT = datetime(2020, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
USER = UserSummary(AT, UUID(int=7), "Zoë Müller", "female", 41, "DE", "example.com")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def rows(file: downloads.DownloadFile) -> list[list[str]]:
    assert file.content.startswith(codecs.BOM_UTF8)
    return list(csv.reader(io.StringIO(file.content.removeprefix(codecs.BOM_UTF8).decode(), newline="")))


def test_a_csv_has_a_header_and_every_field():
    file = downloads.write_csv([USER])
    assert (file.users, file.truncated) == (1, False)
    assert rows(file) == [
        list(UserSummary._fields),
        ["2020-01-02T03:04:05.006Z", str(USER.user_id), "Zoë Müller", "female", "41", "DE", "example.com"],
    ]


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("http://example.org")', "＝1", "＠x"]
)
def test_text_that_a_spreadsheet_would_run_is_prefixed_with_an_apostrophe(name):
    assert rows(downloads.write_csv([USER._replace(full_name=name)]))[1][2] == f"'{name}"


@settings(deadline=None)
@given(TEXT)
def test_any_text_is_one_cell_that_no_spreadsheet_runs_and_otherwise_unchanged(name):
    [_, row] = rows(downloads.write_csv([USER._replace(full_name=name)]))
    assert not row[2].startswith(downloads.FORMULA_PREFIXES)
    assert row[2] in (name, f"'{name}")
    assert len(row) == len(UserSummary._fields)


@settings(deadline=None)
@given(st.lists(TEXT, max_size=20))
def test_parquet_keeps_texts_and_types_as_they_are(names):
    users = [USER._replace(full_name=name, age=age) for age, name in enumerate(names)]
    file = downloads.write_parquet(users)
    read = pq.read_table(io.BytesIO(file.content))
    assert read.schema.equals(downloads.SCHEMA)
    assert read.to_pylist() == [user._asdict() | {"user_id": str(user.user_id)} for user in users]
    assert file.users == len(names)


@pytest.mark.parametrize("write", [downloads.write_csv, downloads.write_parquet])
def test_a_long_file_is_truncated_and_says_so(write, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_USERS", 12)
    monkeypatch.setattr(downloads, "CHUNK_USERS", 5)
    generated: list[int] = []

    def generate_users() -> Iterator[UserSummary]:
        for number in count():
            generated.append(number)
            yield USER._replace(registered_at=AT - timedelta(seconds=number))

    file = write(generate_users())
    assert (file.users, file.truncated) == (12, True)
    assert len(generated) == 13
    exact = write([USER] * 12)
    assert (exact.users, exact.truncated) == (12, False)


def test_the_name_of_a_file_tells_its_filters_and_whether_it_is_truncated():
    complete, truncated = (
        downloads.DownloadFile(b"", 9, truncated=False),
        downloads.DownloadFile(b"", 50_000, truncated=True),
    )
    assert downloads.name_file(UserFilter(), complete, "csv") == "users.csv"
    user_filter = UserFilter("DE", "female", "75+", "2020-01", "2021-02")
    assert downloads.name_file(user_filter, truncated, "parquet") == (
        "users_DE_female_75+_from-2020-01_until-2021-02_first-50000.parquet"
    )
