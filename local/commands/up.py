"""`lakehouse up`: the local stack, started or found running."""

import shlex
from dataclasses import asdict
from json import dumps

from lakehouse.settings import Settings
from local import stack


def run(port: int | None, json: bool, settings: Settings) -> None:
    """Makes the stack usable and prints where it is and the variables that lead AWS clients to it.

    Raises EmulatorError when it cannot be.
    """
    used = stack.start(settings, port)
    variables = stack.environment(settings)
    if json:
        process = asdict(used.process) if used.process else {}
        figures = {"endpoint": used.endpoint, "started_now": used.started_now, "environment": variables}
        print(dumps({name: process[name] for name in ("pid", "port", "log") if name in process} | figures, default=str))
        return
    if used.process is None:
        print(f"AWS_ENDPOINT_URL is set: using {used.endpoint}, nothing was started")
    else:
        print(f"local stack {'started' if used.started_now else 'runs already'}: {used.endpoint}")
        print(f"log: {used.process.log}; stop it with `lakehouse down`")
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
