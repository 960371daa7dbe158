"""The listening socket and the server on it."""

import socket

import uvicorn
from starlette.applications import Starlette

from insights.errors import UserError


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket, so that clients can connect at once. Port 0 selects any free port.

    Raises:
        UserError: the address is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(
            f"The simulator cannot listen on {host}:{port} ({error.strerror}): use another --port."
        ) from None
    return listener


def make_server(app: Starlette) -> uvicorn.Server:
    """Return a server with minimal logging, because each deliberate fault would log an error."""
    return uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none"))


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until interrupted or terminated."""
    make_server(app).run(sockets=[listener])
