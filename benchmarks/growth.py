"""Measure whether a record costs the same when the stores hold many: the whole chain over more and more users.

`python -m benchmarks.growth [--sizes N ...] [--records N] [--rounds N]` fills the stores with generated users up to
each size, less those that then pass through the chain. The default sizes take hours.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.chain import PAGE_SIZE, Chain
from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.fill import fill
from benchmarks.common.pages import serve_pages
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, Turns, take_turns
from benchmarks.common.servers import configure, list_pids, run_servers, run_stores
from insights.clients import connections
from insights.errors import UserError
from insights.settings import PostgresSettings

ABOUT = """\
The whole chain while the stores hold more and more users, on servers that keep running. The users up to a size are
written straight into PostgreSQL and Cassandra, as the stream delivers them; the last of them pass through the chain in
rounds after a warm-up. `start of the stream` is the time until the stream is ready on these stores, and the sizes are
those of the servers' directories, commit logs and WAL included."""
VALIDITY = "the number of users in PostgreSQL was compared with those written at each size"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the stores do not hold the users.
        UserError: a size is too small, Java or a jar is missing, or a server does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000], help="ascending")
    parser.add_argument("--records", type=int, default=15_000, help=f"per round, a multiple of {PAGE_SIZE:,}")
    parser.add_argument("--rounds", type=int, default=5, help="after one that is not counted")
    options = parser.parse_args(arguments)
    turns: Turns = {}
    per_size = options.records * (options.rounds + 1)
    if per_size > options.sizes[0]:
        raise UserError(f"{per_size:,} users pass through the chain at each size: make --sizes begin with no fewer.")
    with (
        configure() as c,
        serve_pages(len(options.sizes) * per_size // PAGE_SIZE, PAGE_SIZE) as url,
        run_stores(c) as stores,
    ):
        filled = staged = 0
        for size in options.sizes:
            target = size - (staged + per_size)
            fill(stores, filled, target)
            filled = target
            started = time.monotonic()
            with run_servers(c.publisher, c.stream):
                start = time.monotonic() - started
                pids = list_pids(c.postgres, c.publisher, c.kafka, c.stream, c.cassandra)
                chain = Chain(c, stores, url, staged, pids, delivered_before=staged)
                chain.run(options.records)
                measured = take_turns({f"{size:,} users": partial(chain.take_turn, options.records)}, options.rounds)
                staged = chain.staged
                require_users(stores.postgres, size)
            sizes = {name: measure_directory(c.home / name) / 2**30 for name in ("postgres", "cassandra", "kafka")}
            figures = {"Start of the stream (s)": start} | {f"{name} (GiB)": value for name, value in sizes.items()}
            turns |= {name: [add_figures(turn, figures) for turn in rounds] for name, rounds in measured.items()}
    case = Case("", turns, "Stores hold")
    title = "Growth"
    conclude(
        Result("growth", title, ABOUT, "records", VALIDITY, [case], list_arguments(parser, options)), options.results
    )


def add_figures(turn: Turn, figures: dict[str, float]) -> Turn:
    """The turn with further figures."""
    return Turn(turn.seconds, turn.cpu_seconds, turn.records, turn.peak_bytes, turn.figures | figures)


def require_users(postgres: PostgresSettings, users: int) -> None:
    """Count the users in PostgreSQL.

    Raises:
        RuntimeError: there are not so many.
    """
    with closing(connections.connect_postgres(postgres, "benchmark")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics.users")
        [[found]] = cursor.fetchall()
    if found != users:
        raise RuntimeError(f"PostgreSQL has {found:,} instead of {users:,} users")


def measure_directory(folder: Path) -> int:
    """The bytes on disk of the files in a directory, of which some may vanish meanwhile."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_blocks * 512 if file.is_file() else 0
        except OSError:
            continue
    return total


if __name__ == "__main__":
    run(main)
