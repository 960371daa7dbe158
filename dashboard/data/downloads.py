"""Files of users, built in memory and bounded in size: CSV for spreadsheets, Parquet for programs."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from threading import BoundedSemaphore
from typing import Any, NamedTuple
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from insights.model.user import User, read_field_types
from insights.queries.search import UserFilter, UserSummary

MAX_USERS = 50_000
"""Per file: about 5 MB of CSV, kept in memory while the page with the download button is open."""
CONCURRENT_FILES = BoundedSemaphore(2)
"""Held while a file is built; limits how many files are built at the same time, across all visitors."""
CHUNK_USERS = 5_000

FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Spreadsheets run text that starts with one of these (OWASP, CSV Injection). The last four are full-width forms."""

_ARROW = {UUID: pa.string(), str: pa.string(), int: pa.int32(), datetime: pa.timestamp("ms", "UTC")}
SCHEMA = pa.schema([(name, _ARROW[read_field_types(User)[name][0]]) for name in UserSummary._fields])


class DownloadFile(NamedTuple):
    """The bytes of a file, and how many users it holds."""

    content: bytes
    users: int
    truncated: bool
    """Whether it ends at `MAX_USERS` although there are more users."""


def write_csv(users: Iterable[UserSummary]) -> DownloadFile:
    """Write CSV (RFC 4180) with a header, in UTF-8.

    It starts with a byte order mark, without which Excel assumes another encoding. Text that a spreadsheet
    would run is prefixed with an apostrophe.
    """
    binary = io.BytesIO()
    text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
    writer = csv.writer(text)
    writer.writerow(UserSummary._fields)
    users, count = iter(users), 0
    for user in islice(users, MAX_USERS):
        writer.writerow(map(_to_cell, user))
        count += 1
    text.flush()
    return DownloadFile(binary.getvalue(), count, next(users, None) is not None)


def write_parquet(users: Iterable[UserSummary]) -> DownloadFile:
    """Write Parquet with typed columns and unchanged text."""
    binary = io.BytesIO()
    users, count = iter(users), 0
    with pq.ParquetWriter(binary, SCHEMA, compression="zstd") as writer:
        while chunk := list(islice(users, min(CHUNK_USERS, MAX_USERS - count))):
            rows = [user._asdict() | {"user_id": str(user.user_id)} for user in chunk]
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            count += len(chunk)
    return DownloadFile(binary.getvalue(), count, next(users, None) is not None)


def name_file(user_filter: UserFilter, file: DownloadFile, extension: str) -> str:
    """Return a name such as `users_DE_female_from-2020-01_first-50000.csv`; filters hold known values only."""
    parts = ["users", user_filter.country_code, user_filter.gender, user_filter.age_band]
    parts += [user_filter.since and f"from-{user_filter.since}", user_filter.until and f"until-{user_filter.until}"]
    parts += [f"first-{file.users}" if file.truncated else None]
    return "_".join(part for part in parts if part) + f".{extension}"


def _to_cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_PREFIXES) else value
