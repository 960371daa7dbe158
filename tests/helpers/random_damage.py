"""Random changes by hand to an idle flow, most of which the ledger must find, and their repair."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg2
from cassandra.cluster import Session

from insights.clients import connections
from insights.model.schema import CASSANDRA_TABLES, PACKED_COLUMNS, USER_FIELDS, build_cql_types
from tests.helpers.cassandra_rows import insert_rows
from tests.helpers.idle_flow import IdleFlow, list_key, make_cells, user_id

_TABLES = (
    *("staging.batches", "staging.user_keys", "staging.users", "staging.pruned", "quarantine.records"),
    *("analytics.users", "analytics.superseded", "analytics.batches", "analytics.user_counts"),
)
_TEXTS = ("", "Other", "名前", "7", "null")
_KEYS = {table: list_key(table) for table in CASSANDRA_TABLES}
_CHANGED_COLUMNS = {
    "staging.batches": ("fetched", "duplicates", "staged", "quarantined", "seed", "digest", "answer_bytes"),
    "staging.user_keys": ("id", "staged_on", "batch_id"),
    "staging.users": ("user_key", "event_time", "batch_id", "payload", "digest", "version"),
    "quarantine.records": ("event_id", "reason", "detail", "payload", "digest", "resolved_at", "redrives", "origin"),
    "analytics.users": (*USER_FIELDS, "digest", "origin", "seq"),
    "analytics.batches": ("read", "accepted", "rejected", "inserted", "updated", "digest", "batch_id", "seq"),
    "analytics.user_counts": ("count", "value", "dimension"),
}


class DamagedStores:
    """The stores of a flow that random changes damage, one at a time, and that are repaired afterwards.

    Args:
        flow: an idle flow of `users` users; nothing else may write to it.
        users: their number.
    """

    def __init__(self, flow: IdleFlow, users: int, session: Session) -> None:
        self._flow, self._users, self._session = flow, users, session
        self._written: list[tuple[str, tuple[Any, ...]]] = []
        with self._cursor() as cursor:
            cursor.execute("CREATE SCHEMA intact")
            for table in _TABLES:
                cursor.execute(f"CREATE TABLE intact.{table.replace('.', '_')} AS SELECT * FROM {table}")
        self._counts = [tuple(row) for row in session.execute("SELECT dimension, value, count FROM user_counts")]

    def damage(self, seed: int) -> str:
        """Make one change that the seed determines. Returns what it did."""
        dice = random.Random(seed)
        kinds = (
            self._delete_row,
            self._change_row,
            self._add_row,
            self._delete_cells,
            self._change_cell,
            self._add_cells,
        )
        while True:
            done = dice.choices((*kinds, self._damage_counts), (3, 6, 2, 2, 4, 2, 1))[0](dice)
            if done:
                return done

    def repair(self) -> None:
        """Make the stores as they were."""
        with self._cursor() as cursor:
            for table in _TABLES:
                cursor.execute(
                    f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM intact.{table.replace('.', '_')}"
                )
        for table, key in self._written:
            where = " AND ".join(f"{name} = %s" for name in _KEYS[table])
            self._session.execute(f"DELETE FROM {table} WHERE {where}", key)
        self._written.clear()
        for table, (_, names) in CASSANDRA_TABLES.items():
            insert_rows(self._session, table, names, [make_cells(number, names) for number in range(self._users)])
        self._session.execute("DELETE FROM user_counts WHERE dimension = 'gender' AND value = 'other'")
        insert_rows(self._session, "user_counts", ("dimension", "value", "count"), self._counts)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with closing(connections.connect_postgres(self._flow.stores.postgres, "tests")) as connection, connection:
            yield connection.cursor()

    def _execute(self, statement: str, *parameters: Any) -> bool:
        """Whether PostgreSQL's constraints let the statement change a row."""
        try:
            with self._cursor() as cursor:
                cursor.execute(statement, parameters)
                return bool(cursor.rowcount > 0)
        except (psycopg2.IntegrityError, psycopg2.DataError):
            return False

    def _pick_row(self, dice: random.Random, table: str) -> str | None:
        """A condition that selects a random row."""
        with self._cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            (rows,) = cursor.fetchone()
        order = "md5(t::text)"
        query = (
            f"(SELECT ctid FROM {table} AS t ORDER BY {order} OFFSET {dice.randrange(rows)} LIMIT 1)" if rows else ""
        )
        return f"ctid = {query}" if rows else None

    def _delete_row(self, dice: random.Random) -> str | None:
        table = dice.choice([name for name in _TABLES if name not in ("staging.pruned", "analytics.superseded")])
        where = self._pick_row(dice, table)
        return f"deleted from {table}" if where and self._execute(f"DELETE FROM {table} WHERE {where}") else None

    def _change_row(self, dice: random.Random) -> str | None:
        table = dice.choice(list(_CHANGED_COLUMNS))
        column = dice.choice(_CHANGED_COLUMNS[table])
        where = self._pick_row(dice, table)
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT data_type FROM information_schema.columns"
                " WHERE table_schema || '.' || table_name = %s AND column_name = %s",
                (table, column),
            )
            (kind,) = cursor.fetchone()
        values: dict[str, Callable[[], str]] = {
            "integer": lambda: f"{column} + {dice.choice((-1, 1, 7))}",
            "bigint": lambda: dice.choice((f"{column} + {dice.choice((-1, 1, 1000))}", "NULL")),
            "text": lambda: dice.choice((f"'{dice.choice(_TEXTS)}'", "NULL", f"{column} || 'x'")),
            "boolean": lambda: f"NOT {column}",
            "uuid": lambda: f"'{UUID(int=dice.getrandbits(128))}'",
            "double precision": lambda: f"coalesce({column}, 0) + 0.25",
            "date": lambda: f"{column} - 1",
            "timestamp with time zone": lambda: f"coalesce({column}, now()) + interval '{dice.choice((1, 1000))} ms'",
            "json": lambda: f"'{dice.choice(('{}', '[]'))}'",
            "bytea": lambda: "'other'",
        }
        value = values[kind]()
        changed = where and self._execute(f"UPDATE {table} SET {column} = {value} WHERE {where}")
        return f"{table}: {column} = {value}" if changed else None

    def _add_row(self, dice: random.Random) -> str | None:
        number = dice.randrange(self._users)
        key, known = UUID(int=dice.getrandbits(128)), dice.choice((number, 10_000 + number))
        statement = dice.choice(
            (
                f"INSERT INTO staging.user_keys VALUES ('{key}', {10_000 + number}, '2026-11-20', 'page')",
                f"INSERT INTO staging.user_keys SELECT '{key}', {10_000 + number}, '2026-11-20', batch_id"
                " FROM staging.batches LIMIT 1",
                f"INSERT INTO staging.users SELECT {10_000 + number}, epoch, xact_id, staged_on, '{key}', version,"
                f" event_time, batch_id, payload, digest FROM staging.users WHERE id = {number}",
                f"INSERT INTO analytics.superseded VALUES ('{known}', '{key}', 1, '1', 1)",
                "INSERT INTO analytics.user_counts VALUES ('gender', 'other', 3, 1)",
                "INSERT INTO staging.pruned VALUES ('2026-11-20', 1)",
                f"INSERT INTO staging.batches SELECT 'other', dag_id, run_id, seed, page, {dice.randrange(3)}, 0,"
                f" {dice.randrange(3)}, api_version, 'x', 9, now() FROM staging.batches LIMIT 1",
            )
        )
        return statement if self._execute(statement) else None

    def _delete_cells(self, dice: random.Random) -> str:
        table, number = dice.choice(list(_KEYS)), dice.randrange(self._users)
        key = tuple(make_cells(number, _KEYS[table]))
        where = " AND ".join(f"{name} = %s" for name in _KEYS[table])
        self._session.execute(f"DELETE FROM {table} WHERE {where}", key)
        return f"deleted user {number} from {table}"

    def _change_cell(self, dice: random.Random) -> str:
        table, number = dice.choice(list(_KEYS)), dice.randrange(self._users)
        packed = {field: name for name in CASSANDRA_TABLES[table][1] for field in PACKED_COLUMNS.get(name, ())}
        plain = [name for name in CASSANDRA_TABLES[table][1] if name not in PACKED_COLUMNS]
        column = dice.choice([name for name in (*plain, *packed) if name not in _KEYS[table]])
        text: Any = dice.choice((*_TEXTS, None))
        values = {"text": text, "boolean": dice.choice((True, False, None)), "double": 0.125, "timestamp": 1000}
        value = values.get(build_cql_types()[column], dice.choice((None, 7)))
        if column in packed:
            self._flow.change_packed(table, packed[column], number, **{column: value})
        else:
            where = " AND ".join(f"{name} = %s" for name in _KEYS[table])
            key = tuple(make_cells(number, _KEYS[table]))
            self._session.execute(f"UPDATE {table} SET {column} = %s WHERE {where}", (value, *key))
        return f"{table}: {column} = {value!r} of user {number}"

    def _add_cells(self, dice: random.Random) -> str:
        table, number = dice.choice(list(_KEYS)), dice.randrange(self._users)
        cells = dict(zip(CASSANDRA_TABLES[table][1], make_cells(number, CASSANDRA_TABLES[table][1]), strict=True))
        column = dice.choice([name for name in _KEYS[table] if name not in ("registered_at", "event_time")])
        cells[column] = {"user_id": user_id(10_000 + number), "bucket": 17, "id_bucket": 1024}.get(column, "ZZ")
        self._written.append((table, tuple(cells[name] for name in _KEYS[table])))
        insert_rows(self._session, table, tuple(cells), [tuple(cells.values())])
        return f"added a row with another {column} to {table}"

    def _damage_counts(self, dice: random.Random) -> str:
        dimension, value, count = dice.choice([*self._counts, ("gender", "other", 0)])
        statement = "UPDATE user_counts SET count = %s WHERE dimension = %s AND value = %s"
        self._session.execute(statement, (count + dice.choice((-1, 1)), dimension, value))
        return f"count of {dimension}={value}"
