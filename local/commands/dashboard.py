"""`lakehouse dashboard`: the pages of the teams and of the pipeline's health, in a browser."""

from lakehouse.settings import Settings
from local.dashboard.server import serve


def run(*, port: int, settings: Settings) -> None:
    """Serves the dashboard until Ctrl-C or SIGTERM. Raises LakehouseError when the port is taken."""
    serve(
        settings, port, lambda address: print(f"dashboard of {settings.root}: {address} (Ctrl-C ends it)", flush=True)
    )
