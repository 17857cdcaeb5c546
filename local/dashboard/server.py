"""Serves the dashboard on this machine until Ctrl-C or SIGTERM."""

import logging
import os
import socket
from collections.abc import Callable

from werkzeug.serving import make_server

from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from local.dashboard.app import create_app
from local.dashboard.readings import Readings

HOST = "127.0.0.1"


def serve(settings: Settings, port: int, ready: Callable[[str], None]) -> None:
    """Serves the dashboard of the settings' lake; `ready` gets its address, which has the port for port 0.

    Only this machine can reach it. Raises LakehouseError when the port is taken.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with _listen(port) as listening:
        readings = Readings(settings.root)
        app = create_app(settings, readings)
        server = make_server(HOST, port, app.server, threaded=True, fd=listening.fileno())
        try:
            ready(f"http://{HOST}:{listening.getsockname()[1]}")
            server.serve_forever()
        finally:
            server.server_close()
            readings.close()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise LakehouseError(
            f"port {port} cannot be used ({reason}): give another one with --port (0 takes any free one)"
        ) from error
