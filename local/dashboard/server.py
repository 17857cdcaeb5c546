"""Serves the dashboard on this machine until Ctrl-C or SIGTERM."""

import logging
from collections.abc import Callable

from werkzeug.serving import BaseWSGIServer, make_server

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
    readings = Readings(settings.root)
    server = _bind(settings, readings, port)
    try:
        ready(f"http://{HOST}:{server.port}")
        server.serve_forever()
    finally:
        server.server_close()
        readings.close()


def _bind(settings: Settings, readings: Readings, port: int) -> BaseWSGIServer:
    app = create_app(settings, readings)
    try:
        return make_server(HOST, port, app.server, threaded=True)
    # Werkzeug prints what went wrong and leaves by SystemExit when the port is taken.
    except (OSError, SystemExit) as error:
        raise LakehouseError(f"port {port} is taken: give another one with --port (0 takes any free one)") from error
