"""A socket and the server on it."""

import socket

import uvicorn
from starlette.applications import Starlette

from insights.errors import UserError


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, so that whoever is told the address can connect at once; port 0 takes a free one.

    Raises:
        UserError: the address cannot be taken.
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
            f"The simulator cannot listen on {host}:{port} ({error.strerror}); choose another --port."
        ) from None
    return listener


def server_of(app: Starlette) -> uvicorn.Server:
    """A quiet server: answers broken on purpose would each log an error."""
    return uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none"))


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until interrupted or terminated."""
    server_of(app).run(sockets=[listener])
