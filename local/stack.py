"""The local stack: one emulator of S3 and Kinesis for a state directory, with the buckets and streams of the settings.

With AWS_ENDPOINT_URL set to another one it is whatever runs there, and nothing is started or stopped.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from local import emulator_installation, emulator_process, stack_resources
from local.emulator_process import HOST, EmulatorError, EmulatorProcess
from local.stack_resources import Stream

DEFAULT_PORT = 4566
ENDPOINT = "AWS_ENDPOINT_URL"


@dataclass(frozen=True)
class Stack:
    """The stack in use."""

    endpoint: str
    process: EmulatorProcess | None
    """The emulator that we started; None when AWS_ENDPOINT_URL names one that we did not."""
    started_now: bool = False
    """Whether this very call of `start` started it: only then is it the caller's to stop."""


@dataclass(frozen=True)
class Status:
    """What `lakehouse status` shows."""

    running: bool
    endpoint: str | None = None
    origin: str | None = None
    pid: int | None = None
    log: str | None = None
    buckets: tuple[str, ...] = ()
    streams: tuple[Stream, ...] = ()


def start(settings: Settings, port: int | None = None) -> Stack:
    """Makes the stack usable: the emulator answers, and the buckets and streams of the settings exist.

    Starts an emulator unless AWS_ENDPOINT_URL names another one or one of this state directory runs already. `port`
    None takes 4566 or the running one's; 0 takes any free one. An interruption (Ctrl-C too) leaves no process behind.
    Raises EmulatorError when the port is taken, when another port is asked for than the running one's, or when the
    emulator does not come up.
    """
    given = _given_endpoint(settings)
    if given:
        ensure_resources(settings)
        return Stack(given, None)
    with _locked(settings):
        process = _recorded(settings)
        if process is not None and process.is_alive:
            if port and port != process.port:
                raise EmulatorError(
                    f"the emulator runs on port {process.port} already: run `lakehouse down` first to move it to {port}"
                )
            emulator_process.wait_until_ready(process)
            _ensure_resources(settings, process.endpoint)
            return Stack(process.endpoint, process)
        if process is not None:
            emulator_process.kill(process)
        if port is None:
            # An endpoint that was exported while the one that died lived should come true again.
            port = process.port if process is not None and os.environ.get(ENDPOINT) else DEFAULT_PORT
        process = _start_process(settings, port or emulator_process.free_port())
        return Stack(process.endpoint, process, started_now=True)


def _start_process(settings: Settings, port: int) -> EmulatorProcess:
    state = _state(settings)
    installation = emulator_installation.install()
    process = emulator_process.spawn(installation, state / "emulator", state / "emulator.log", port)
    try:
        _record(settings, process)
        emulator_process.wait_until_ready(process)
        _ensure_resources(settings, process.endpoint)
    except BaseException:
        emulator_process.kill(process)
        _record_file(settings).unlink(missing_ok=True)
        raise
    return process


def stop(settings: Settings) -> EmulatorProcess | None:
    """Ends the emulator of this state directory with all its processes and data; keeps its log.

    Gives what was stopped, or None when nothing ran. With AWS_ENDPOINT_URL set to another one it does nothing.
    Raises EmulatorError when a process does not end.
    """
    if _given_endpoint(settings):
        return None
    with _locked(settings):
        process = _recorded(settings)
        if process is None:
            # A start that was killed before it could write its record may have left one.
            emulator_process.kill_all_in(_state(settings) / "emulator")
            return None
        was_alive = process.is_alive
        emulator_process.kill(process)
        _record_file(settings).unlink(missing_ok=True)
        return process if was_alive else None


def status(settings: Settings) -> Status:
    """What runs now, asked of the emulator itself. Raises EmulatorError when the endpoint does not answer."""
    given = _given_endpoint(settings)
    process = None if given else running(settings)
    endpoint = process.endpoint if process else given
    if not endpoint:
        return Status(running=False)
    buckets, streams = stack_resources.describe(_client_variables(settings, endpoint))
    if process is None:
        return Status(True, endpoint, ENDPOINT, buckets=buckets, streams=streams)
    return Status(True, endpoint, "lakehouse up", process.pid, str(process.log), buckets, streams)


def running(settings: Settings) -> EmulatorProcess | None:
    """The emulator of this state directory if its process lives; AWS_ENDPOINT_URL is not looked at."""
    process = _recorded(settings)
    return process if process is not None and process.is_alive else None


def environment(settings: Settings) -> dict[str, str]:
    """The variables that lead AWS clients to the stack: endpoint, credentials and region; empty when none runs.

    With AWS_ENDPOINT_URL set to another one, only what else is missing: an emulator wants credentials, whichever.
    """
    given = _given_endpoint(settings)
    if given:
        return {name: value for name, value in _variables(settings, given).items() if not os.environ.get(name)}
    process = running(settings)
    return _variables(settings, process.endpoint) if process else {}


def _variables(settings: Settings, endpoint: str) -> dict[str, str]:
    variables = {
        ENDPOINT: endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
    }
    without_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if any(name.lower() in ("http_proxy", "all_proxy") for name in os.environ) and HOST not in without_proxy:
        # A proxy cannot reach this machine's loopback interface.
        both = f"{without_proxy},{HOST},localhost".strip(",")
        variables |= {"NO_PROXY": both, "no_proxy": both}
    return variables


def _client_variables(settings: Settings, endpoint: str) -> dict[str, str]:
    """What our own clients use: credentials of the environment if there are any, for an emulator that looks at them."""
    variables = _variables(settings, endpoint)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return variables | {name: os.environ[name] for name in names if os.environ.get(name)}


def ensure_resources(settings: Settings) -> None:
    """Makes the buckets of root and landing and the streams, 2 shards each, where they do not exist yet.

    Raises EmulatorError when no stack runs or its endpoint does not answer.
    """
    process = running(settings)
    endpoint = _given_endpoint(settings) or (process.endpoint if process else "")
    if not endpoint:
        raise EmulatorError("the local stack does not run: start it with `lakehouse up`")
    _ensure_resources(settings, endpoint)


def _ensure_resources(settings: Settings, endpoint: str) -> None:
    addresses = [urlsplit(address) for address in (settings.root, settings.landing)]
    buckets = [address.netloc for address in addresses if address.scheme in ("s3", "s3a")]
    stack_resources.ensure(_client_variables(settings, endpoint), buckets, settings.streams.values())


def _given_endpoint(settings: Settings) -> str:
    """AWS_ENDPOINT_URL, but empty when it is that of our own emulator: `up` prints it for people to export."""
    given = os.environ.get(ENDPOINT, "")
    process = _recorded(settings)
    return "" if process is not None and given.rstrip("/") == process.endpoint else given


def _state(settings: Settings) -> Path:
    state = settings.state_directory.expanduser().resolve()
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LakehouseError(f"state_directory {state} cannot be made: {error}") from error
    return state


def _record_file(settings: Settings) -> Path:
    return settings.state_directory.expanduser().resolve() / "stack.json"


def _record(settings: Settings, process: EmulatorProcess) -> None:
    """Writes the record beside its place and moves it there: other commands read it without the lock."""
    file = _record_file(settings)
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_text(json.dumps(asdict(process), default=str, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(file)


def _recorded(settings: Settings) -> EmulatorProcess | None:
    """The emulator that this state directory knows of, living or dead."""
    file = _record_file(settings)
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return EmulatorProcess(**{**record, "directory": Path(record["directory"]), "log": Path(record["log"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise EmulatorError(f"{file} is damaged ({error}): end its emulator if one runs, and remove it") from error


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Only one command at a time starts or stops the emulator of a state directory."""
    with (_state(settings) / "stack.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
