"""Measure what it costs to be sure: `check_ledger` over a filled platform, and again after a few further records.

`python -m benchmarks.check [--records N] [--new N] [--rounds N]` starts the servers, the publisher and the stream,
moves generated records through the chain, and checks. Full and incremental checks then take turns, and new records are
moved before each of them.
"""

from collections.abc import Sequence
from contextlib import closing
from functools import partial

from benchmarks.chain import PAGE_SIZE, run_chain
from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, measure, take_turns
from insights.clients import connections
from insights.ledger.check import check_ledger
from insights.ledger.hops import LedgerScope
from insights.settings import PostgresSettings, StoreSettings

ABOUT = """\
`check_ledger`, which compares every store with the one before it, record by record; `client` is the checking process.
*First* is the first check of all records. *Full* and *incremental* follow when a page of new ones has passed through
the chain: *full* compares everything again, as `insights check` does, and *incremental* compares what is new and a part
of what was verified before, as the DAG `check_data_flow` does. The pages of the first records are dated an hour back,
since an incremental check compares those of the last ten minutes again. The publisher and the stream run but are idle.
Records per second are those in the stores."""
VALIDITY = "every check was required to close"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: a check does not close.
        UserError: Java or a jar is missing, or a server does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--records", type=int, default=200_000, help=f"a multiple of {PAGE_SIZE:,}")
    parser.add_argument(
        "--new", type=int, default=PAGE_SIZE, help=f"before a further check, a multiple of {PAGE_SIZE:,}"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with run_chain((options.records + 2 * options.new * options.rounds) // PAGE_SIZE) as chain:
        servers = {name: chain.pids[name] for name in ("PostgreSQL", "Kafka", "Cassandra")}
        chain.stage(options.records)
        chain.wait()
        age_pages(chain.stores.postgres)
        first = check(chain.stores, servers, chain.staged, full=True)

        def check_again(_: int, *, full: bool) -> Turn:
            chain.stage(options.new)
            chain.wait()
            return check(chain.stores, servers, chain.staged, full=full)

        contenders = {name: partial(check_again, full=name == "full") for name in ("full", "incremental")}
        turns = {"first": [first]} | take_turns(contenders, options.rounds)
    title = "The check of the ledger"
    case = Case("", turns, "Check")
    conclude(
        Result("check", title, ABOUT, "records", VALIDITY, [case], list_arguments(parser, options)), options.results
    )


def age_pages(postgres: PostgresSettings) -> None:
    """Date the staged pages an hour back."""
    with (
        closing(connections.connect_postgres(postgres, "benchmark")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE staging.batches SET staged_at = staged_at - interval '1 hour'")


def check(stores: StoreSettings, servers: dict[str, int], records: int, *, full: bool) -> Turn:
    """A check of stores that hold so many records.

    Raises:
        RuntimeError: it does not close, or it was to be incremental and was not.
    """

    def require_closed() -> None:
        ledger = check_ledger(stores, full=full)
        if not ledger.closed:
            raise RuntimeError(" ".join(hop.sentence for hop in ledger.open_hops()))
        if (ledger.scope is LedgerScope.FULL) is not full:
            raise RuntimeError("an incremental check became a full one: something looked wrong")

    turn = measure(require_closed, servers, records, memory=True)
    return Turn(turn.seconds, turn.cpu_seconds, records, turn.peak_bytes, {"Seconds": turn.seconds})


if __name__ == "__main__":
    run(main)
