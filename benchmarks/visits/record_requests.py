"""Streamlit that records its requests to Cassandra: `python -m benchmarks.visits.record_requests FILE run ...`.

FILE gets a line per request before its answer is used: `prepare` or `execute`, and the number of rows in the answer.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cassandra.connection import Connection
from cassandra.protocol import ExecuteMessage, PrepareMessage
from streamlit.web import cli

KINDS = {PrepareMessage: "prepare", ExecuteMessage: "execute"}
"""The recorded messages; the driver's own queries, which it sends when it connects, are of other kinds."""


def record_requests(file: Path) -> None:
    """Make every connection of the driver append its requests to `file`."""
    send = Connection.send_msg

    def send_and_record(self: Any, message: Any, request_id: int, cb: Callable[..., Any], **options: Any) -> Any:
        kind = KINDS.get(type(message))
        if kind is None:
            return send(self, message, request_id, cb, **options)

        def record(response: Any) -> Any:
            with file.open("a") as output:
                output.write(f"{kind} {len(getattr(response, 'parsed_rows', None) or ())}\n")
            return cb(response)

        return send(self, message, request_id, record, **options)

    Connection.send_msg = send_and_record


def main() -> None:
    file, *arguments = sys.argv[1:]
    record_requests(Path(file))
    cli.main(arguments, prog_name="streamlit")


if __name__ == "__main__":
    main()
