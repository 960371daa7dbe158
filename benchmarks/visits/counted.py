"""Streamlit with Cassandra's driver made to note each request: `python -m benchmarks.visits.counted NOTES run ...`.

A line a request, before its answer is used: `prepare` or `execute`, and the rows of the answer.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cassandra.connection import Connection
from cassandra.protocol import ExecuteMessage, PrepareMessage
from streamlit.web import cli

KINDS = {PrepareMessage: "prepare", ExecuteMessage: "execute"}
"""What is left out: the driver's own questions about the cluster, when it connects."""


def note_requests(notes: Path) -> None:
    """Have every connection of the driver append its requests to `notes`."""
    send = Connection.send_msg

    def noting(self: Any, message: Any, request_id: int, cb: Callable[..., Any], **named: Any) -> Any:
        kind = KINDS.get(type(message))
        if kind is None:
            return send(self, message, request_id, cb, **named)

        def note(response: Any) -> Any:
            with notes.open("a") as file:
                file.write(f"{kind} {len(getattr(response, 'parsed_rows', None) or ())}\n")
            return cb(response)

        return send(self, message, request_id, note, **named)

    Connection.send_msg = noting


def main() -> None:
    notes, *arguments = sys.argv[1:]
    note_requests(Path(notes))
    cli.main(arguments, prog_name="streamlit")


if __name__ == "__main__":
    main()
