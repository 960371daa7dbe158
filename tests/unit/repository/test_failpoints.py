"""Every durable step is followed by a failpoint before the next one, so that the fault tests can crash in between.

A step is durable if a crash after it leaves its effect behind: a committed transaction, a write to Cassandra, an
acknowledged message, a change by Kafka's admin client. If a test here fails after a change of yours, call
`failpoints.reach` after the step, and add its window to `insights/failpoints.py`, `tests/fault/windows.py` and
`docs/reliability.md`.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from insights.failpoints import WINDOWS
from tests.fault.windows import ALL
from tests.helpers.support import REPOSITORY

WRITING = ("clients", "ingest", "ledger", "migrations", "publisher", "repair", "sinks", "staging")
"""The packages of `insights` that write to a store."""

WITHOUT_A_WINDOW = {
    "BatchProducer.close": "discards messages, and acknowledges none",
    "PageIngest._read_clock": "only reads",
    "PageIngest._sum_pages": "only reads",
    "Pacer._open": "the pace of requests: nothing follows from it but pauses",
    "_list_days": "only reads",
    "_lock": "the lock ends with the connection",
    "_plan": "only reads",
    "_read_image": "only reads",
    "_FullCheck.record": "ends the snapshot, which only reads",
    "_IncrementalCheck.record": "ends the snapshot, which only reads",
    "record_check": "a check that is not recorded is made again",
    "replace_verified": "what is not recorded as verified is compared again",
    "forget_verified": "what is verified is compared again",
    "read_images": "only reads",
    "read_page": "only reads",
    "redrive": "only reads; what it publishes and records has windows of its own",
    "is_loaded": "only reads",
    "_list_foreign_deliveries": "only reads",
    "_list_orphans": "only reads",
    "_find_restored_seq": "only reads",
    "_list_recent_batches": "only reads",
    "_read_last_delivered": "only reads",
    "_count_users": "only reads",
    "mark_progress": "expires, and changes only what the check says",
    "mark_writing": "expires, and only the process that wrote it reads it",
    "mark_filled": "the refill reaches its window",
    "read_table": "only reads",
    "read_batch": "only reads",
    "read_period": "only reads",
    "find_wrong_counts": "only reads",
    "find_counted_users": "only reads",
    "_MigrationLock._execute": "the lock expires",
}
"""Functions with a step that looks durable, and why no window follows it."""

WRITE = re.compile(r"\s*(WITH\b.*\b)?(ALTER|COMMIT|CREATE|DELETE|DROP|GRANT|INSERT|REVOKE|UPDATE)\b", re.DOTALL)


class Function(NamedTuple):
    """A function of the product: its qualified name and its syntax tree."""

    path: Path
    name: str
    node: ast.FunctionDef


def functions(*folders: str) -> Iterator[Function]:
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            module = ast.parse(path.read_text(), str(path))
            owners = {
                id(child): node.name for node in module.body if isinstance(node, ast.ClassDef) for child in node.body
            }
            for node in ast.walk(module):
                if isinstance(node, ast.FunctionDef):
                    owner = owners.get(id(node))
                    yield Function(path, f"{owner}.{node.name}" if owner else node.name, node)


def find_durable_steps(function: ast.FunctionDef) -> list[int]:
    """The lines on which durable steps end. What a function does with its caller's cursor, the caller commits."""
    if any("cursor" in argument.arg.lower() for argument in function.args.args):
        return []
    transactions = [node for node in ast.walk(function) if isinstance(node, ast.With) and is_transaction(node)]
    steps = [node.end_lineno or node.lineno for node in transactions]
    inside = {id(child) for transaction in transactions for child in ast.walk(transaction)}
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and id(node) not in inside and is_durable_call(node):
            steps.append(node.end_lineno or node.lineno)
    return sorted(steps)


def is_transaction(node: ast.With) -> bool:
    """psycopg2 commits when a `with connection` block ends, yoyo when a `with backend.transaction()` block does."""
    items = [item.context_expr for item in node.items]
    return any(
        (isinstance(item, ast.Name | ast.Attribute) and ast.unparse(item) in ("connection", "self._connection"))
        or (isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute) and item.func.attr == "transaction")
        for item in items
    )


def is_durable_call(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    receiver, method = ast.unparse(call.func.value), call.func.attr
    match method:
        case "commit" | "create_topics" | "incremental_alter_configs":
            return True
        case "flush":
            return "producer" in receiver
        case "upsert" | "upsert_valid" | "delete" | "delete_valid":
            return "writer" in receiver
        case "execute":
            text = read_leading_text(call.args[0]) if call.args else None
            return "session" in receiver if text is None else bool(WRITE.match(text))
    return False


def read_leading_text(argument: ast.expr) -> str | None:
    """The text of a literal up to its first placeholder; None if the argument is not a literal."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    if isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
        return str(argument.values[0].value)
    return None


def find_reached_windows(node: ast.AST) -> list[tuple[int, ast.expr]]:
    """The calls of `failpoints.reach`: their lines and arguments."""
    return [
        (call.lineno, call.args[0])
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "failpoints.reach"
    ]


def find_steps_without_window(function: ast.FunctionDef) -> list[int]:
    reached = [line for line, _ in find_reached_windows(function)]
    steps: Sequence[int] = find_durable_steps(function)
    ends = [*steps[1:], (function.end_lineno or 0) + 1]
    return [step for step, end in zip(steps, ends, strict=False) if not any(step < line <= end for line in reached)]


def test_every_durable_step_is_followed_by_a_failpoint() -> None:
    missing = [
        f"{function.path.relative_to(REPOSITORY)}:{line}: no failpoint follows this durable step of {function.name}"
        for function in functions(*(f"insights/{name}" for name in WRITING), "dags", "jobs")
        if function.name not in WITHOUT_A_WINDOW
        for line in find_steps_without_window(function.node)
    ]
    assert not missing, "\n".join(["", *missing])


def test_every_exemption_is_needed() -> None:
    needed = {
        function.name
        for function in functions(*(f"insights/{name}" for name in WRITING))
        if find_steps_without_window(function.node)
    }
    assert sorted(set(WITHOUT_A_WINDOW) - needed) == []


def test_every_window_is_reached_at_one_place_under_its_name() -> None:
    named: Counter[str] = Counter()
    for path in sorted((REPOSITORY / "insights").rglob("*.py")):
        for line, argument in find_reached_windows(ast.parse(path.read_text())):
            assert isinstance(argument, ast.Constant), (
                f"{path.relative_to(REPOSITORY)}:{line}: name the window literally"
            )
            named[str(argument.value)] += 1
    assert named == Counter(dict.fromkeys(WINDOWS, 1))


def test_every_window_is_crashed_in() -> None:
    assert {window.partition(":")[0] for window in ALL} == set(WINDOWS)


def test_every_window_is_described() -> None:
    section = (REPOSITORY / "docs" / "reliability.md").read_text().split("\n## Windows\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(.+)` \| (.+) \|$", section, re.MULTILINE) == list(WINDOWS.items())


@pytest.mark.parametrize(
    "body",
    [
        "with connection, connection.cursor() as cursor:\n  cursor.execute('x')",
        "with backend.transaction():\n  backend.apply_one(x)",
        "cursor.execute('COMMIT')",
        "session.execute('INSERT INTO t')",
        "session.execute(f'GRANT {x}')",
        "session.execute(statement)",
        "writer.upsert(table, rows)",
        "self._producer.flush(1)",
        "admin.create_topics(topics)",
        "writer.upsert(one)\nfailpoints.reach('a')\nwriter.upsert(two)",
        "failpoints.reach('a')\nwriter.delete(table)",
    ],
)
def test_a_durable_step_without_a_failpoint_is_found(body: str) -> None:
    assert find_steps_without_window(parse_function(body))


@pytest.mark.parametrize(
    "body",
    [
        "with connection:\n  cursor.execute('x')\nfailpoints.reach('a')",
        "writer.upsert(one)\nfailpoints.reach('a')\nwriter.upsert(two)\nfailpoints.reach('b')",
        "session.execute('SELECT 1')",
        "file.flush()",
        "with closing(connect()) as connection:\n  read(connection)",
    ],
)
def test_other_steps_need_none(body: str) -> None:
    assert find_steps_without_window(parse_function(body)) == []


def parse_function(body: str) -> ast.FunctionDef:
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    [function] = ast.parse(f"def work():\n{indented}\n").body
    assert isinstance(function, ast.FunctionDef)
    return function
