"""A streaming job on EMR Serverless: `emr.py LAYER`, with its settings in LAKEHOUSE_* variables of the driver."""

import sys

from lakehouse.errors import LakehouseError
from lakehouse.settings import load_settings
from runtime.region import use_region
from streaming.layers import LAYERS
from streaming.main import run

WRONG_USE = 2


def main() -> None:
    """Runs until SIGTERM, which EMR sends when a job run is cancelled with a grace period."""
    if len(sys.argv) != 2 or sys.argv[1] not in LAYERS:
        print(f"write one of {', '.join(LAYERS)} as the only argument, not {sys.argv[1:]}", file=sys.stderr)
        sys.exit(WRONG_USE)
    try:
        settings = load_settings()
        use_region(settings.region)
        run(sys.argv[1], drain=False, settings=settings)
    except LakehouseError as error:
        print(f"stream {sys.argv[1]}: {error}", file=sys.stderr)
        sys.exit(1)
