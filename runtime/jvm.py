"""The JVM of this process's Spark session: once it is gone the process ends, with one line that says so.

A call to a JVM that is gone fails at once, so that the main thread finds its own way out and releases what it holds.
Should it wait for what cannot come any more, it is ended all the same. Where a JVM runs the process, as on EMR and
Glue, there is nothing to watch.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time

from lakehouse.errors import LakehouseError

POLL_SECONDS = 0.5
# For a way out that releases leases; a store that does not answer may take longer, and leases end by themselves.
WAY_OUT_SECONDS = 5.0
# Its sockets are closed a moment before the process can be waited for.
CLOSING_SECONDS = 1.0
FAILED = 1
# py4j tells the root logger of every call that finds no JVM, with the whole stack, and raises it as well.
CALL_FAILED = "Exception while sending command."


class JvmGoneError(LakehouseError):
    """The JVM of the session has ended, and nothing that needs it can go on."""


def watch() -> None:
    """From now on this process ends some seconds after the JVM of its session, whatever its threads wait for."""
    logging.getLogger().addFilter(lambda record: record.msg != CALL_FAILED)
    threading.Thread(target=_end_with_it, name="jvm", daemon=True).start()


def gone() -> JvmGoneError | None:
    """The error that tells that the session's JVM has ended; None while it runs, or where there is none of ours."""
    process = _process()
    if process is None:
        return None
    try:
        return ended(process.wait(CLOSING_SECONDS))
    except subprocess.TimeoutExpired:
        return None


def ended(exit_code: int | None) -> JvmGoneError:
    """The error for a JVM that ended with that code, which is minus the signal's number; None if nobody knows it."""
    how = f"with exit code {exit_code}"
    if exit_code is None:
        how = "while it started"
    elif exit_code < 0:
        how = f"by {signal.Signals(-exit_code).name}"
    return JvmGoneError(f"Spark's JVM ended {how}: {_why(exit_code)}, and start again: every job goes on where it was")


def _why(exit_code: int | None) -> str:
    """What to look at: only a kill tells of memory that ran out, anything else is told by the JVM itself."""
    if exit_code == -signal.SIGKILL:
        return "if nobody killed it, the system ran out of memory: lower driver_memory or end other programs"
    return "mend what it says above (or in the system's log)"


def _end_with_it() -> None:
    while True:
        time.sleep(POLL_SECONDS)
        process = _process()
        if process is not None and process.poll() is not None:
            time.sleep(WAY_OUT_SECONDS)
            # Past every lock and every handler: nobody knows what the other threads hold.
            os.write(2, f"lakehouse: {ended(process.poll())}\n".encode())
            os._exit(FAILED)


def _process() -> "subprocess.Popen[bytes] | None":
    """Looked for without importing Spark: a command that does not need it starts without."""
    context = getattr(sys.modules.get("pyspark.core.context"), "SparkContext", None)
    gateway = getattr(context, "_gateway", None)
    # Not by getattr: a gateway asks the JVM for what it does not have itself.
    process: subprocess.Popen[bytes] | None = vars(gateway).get("proc") if gateway is not None else None
    return process
