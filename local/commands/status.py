"""`lakehouse status`: what of the local stack runs."""

from dataclasses import asdict
from json import dumps

from lakehouse.settings import Settings
from local import stack


def run(json: bool, settings: Settings) -> bool:
    """Prints the state of the stack; gives whether it runs.

    Raises EmulatorError when the endpoint does not answer.
    """
    now = stack.status(settings)
    if json:
        print(dumps(asdict(now)))
    elif not now.running:
        print("the local stack does not run; start it with `lakehouse up`")
    else:
        print(f"endpoint  {now.endpoint} ({now.origin}{f', process {now.pid}' if now.pid else ''})")
        if now.log:
            print(f"log       {now.log}")
        for bucket in now.buckets:
            print(f"bucket    {bucket}")
        for stream in now.streams:
            print(f"stream    {stream.name}: {stream.shards} shards, {stream.state}")
    return now.running
