"""Run every benchmark with sizes that take minutes: `python -m benchmarks`. Each module also runs alone."""

import sys

from benchmarks import cassandra_writer, dashboard, ingest
from insights.errors import UserError, print_error

BENCHMARKS = {
    "Pages of the API into staging": (ingest.main, ["--pages", "4", "--rounds", "5"]),
    "Rows into Cassandra": (cassandra_writer.main, ["--rows", "20000", "--rounds", "3"]),
    "The dashboard's pages": (dashboard.main, ["--users", "100000", "--colds", "1"]),
}


def main() -> None:
    """Run the benchmarks one after another.

    Raises:
        UserError: Java or a jar is missing, or a server does not start.
    """
    for title, (run, arguments) in BENCHMARKS.items():
        print(f"{title} ({' '.join(arguments)})", flush=True)
        run(arguments)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print_error(error)
        sys.exit(1)
