"""Files of users, made in memory and bounded: CSV for spreadsheets, Parquet for programs."""

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

MOST_USERS = 50_000
"""Of one file: some 5 MB of CSV, kept while the page that offers it is open."""
AT_ONCE = BoundedSemaphore(2)
"""Files in the making, of all visitors."""
CHUNK_USERS = 5_000

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a text for a formula (OWASP, CSV Injection); the last four stand for the first."""

_ARROW = {UUID: pa.string(), str: pa.string(), int: pa.int32(), datetime: pa.timestamp("ms", "UTC")}
SCHEMA = pa.schema([(name, _ARROW[read_field_types(User)[name][0]]) for name in UserSummary._fields])


class DownloadFile(NamedTuple):
    """The bytes of a file, and what is in them."""

    content: bytes
    users: int
    cut: bool
    """There are more users than `MOST_USERS`."""


def write_csv(users: Iterable[UserSummary]) -> DownloadFile:
    """UTF-8 with a header, RFC 4180; a text that a spreadsheet would run is preceded by an apostrophe."""
    binary = io.BytesIO()
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(UserSummary._fields)
    users, count = iter(users), 0
    for user in islice(users, MOST_USERS):
        writer.writerow(map(_cell, user))
        count += 1
    text.flush()
    return DownloadFile(binary.getvalue(), count, next(users, None) is not None)


def write_parquet(users: Iterable[UserSummary]) -> DownloadFile:
    """Typed columns, text as it is."""
    binary = io.BytesIO()
    users, count = iter(users), 0
    with pq.ParquetWriter(binary, SCHEMA, compression="zstd") as writer:
        while rows := list(islice(users, min(CHUNK_USERS, MOST_USERS - count))):
            texts = [user._asdict() | {"user_id": str(user.user_id)} for user in rows]
            writer.write_table(pa.Table.from_pylist(texts, schema=SCHEMA))
            count += len(rows)
    return DownloadFile(binary.getvalue(), count, next(users, None) is not None)


def name_file(chosen: UserFilter, file: DownloadFile, ending: str) -> str:
    """`users_DE_female_2020-01_first-50000.csv`: of filters that were chosen from known values."""
    words = ["users", chosen.country_code, chosen.gender, chosen.age_band]
    words += [chosen.since and f"from-{chosen.since}", chosen.until and f"until-{chosen.until}"]
    words += [f"first-{file.users}" if file.cut else None]
    return "_".join(word for word in words if word) + f".{ending}"


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
