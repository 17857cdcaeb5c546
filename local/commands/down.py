"""`lakehouse down`: the end of the local stack."""

import os
from json import dumps

from lakehouse.settings import Settings
from local import stack


def run(json: bool, settings: Settings) -> None:
    """Stops the stack if it was started here, and says what was stopped.

    Raises EmulatorError when one of its processes does not end.
    """
    stopped = stack.stop(settings)
    if json:
        print(dumps({"stopped": stopped is not None, "endpoint": stopped.endpoint if stopped else None}))
    elif stopped is not None:
        print(f"local stack stopped: {stopped.endpoint} (log: {stopped.log})")
    elif os.environ.get("AWS_ENDPOINT_URL"):
        print("AWS_ENDPOINT_URL is set: what runs there was not started here and is left alone")
    else:
        print("the local stack does not run")
