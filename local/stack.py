"""The local stack: one emulator of S3 and Kinesis for a state directory, with the buckets and streams of the settings.

With AWS_ENDPOINT_URL set it is whatever runs there, and nothing is started or stopped.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from local import emulator_installation, emulator_process
from local.emulator_process import HOST, EmulatorError, EmulatorProcess

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

DEFAULT_PORT = 4566
SHARDS = 2
STREAM_SECONDS = 60


@dataclass(frozen=True)
class Stack:
    """The stack in use."""

    endpoint: str
    process: EmulatorProcess | None
    """The emulator that we started; None when AWS_ENDPOINT_URL names one that we did not."""
    started_now: bool = False
    """Whether this very call of `start` started it: only then is it the caller's to stop."""


@dataclass(frozen=True)
class Stream:
    """A Kinesis stream as `status` shows it."""

    name: str
    shards: int
    state: str


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

    Starts an emulator unless AWS_ENDPOINT_URL is set or one of this state directory runs already. `port` None takes
    4566 or the running one's; 0 takes any free one. An interruption (Ctrl-C too) leaves no process behind.
    Raises EmulatorError when the port is taken, when another port is asked for than the running one's, or when the
    emulator does not come up.
    """
    given = os.environ.get("AWS_ENDPOINT_URL", "")
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
            ensure_resources(settings)
            return Stack(process.endpoint, process)
        if process is not None:
            emulator_process.kill(process)
        process = _start_process(settings, DEFAULT_PORT if port is None else port or emulator_process.free_port())
        return Stack(process.endpoint, process, started_now=True)


def _start_process(settings: Settings, port: int) -> EmulatorProcess:
    state = _state(settings)
    installation = emulator_installation.install()
    process = emulator_process.spawn(installation, state / "emulator", state / "emulator.log", port)
    try:
        record = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(process).items()}
        (state / "stack.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        emulator_process.wait_until_ready(process)
        ensure_resources(settings, process)
    except BaseException:
        emulator_process.kill(process)
        (state / "stack.json").unlink(missing_ok=True)
        raise
    return process


def stop(settings: Settings) -> EmulatorProcess | None:
    """Ends the emulator of this state directory with all its processes and data; keeps its log.

    Gives what was stopped, or None when nothing ran. With AWS_ENDPOINT_URL set it does nothing.
    """
    if os.environ.get("AWS_ENDPOINT_URL"):
        return None
    with _locked(settings):
        process = _recorded(settings)
        if process is None:
            return None
        was_alive = process.is_alive
        emulator_process.kill(process)
        _record_file(settings).unlink(missing_ok=True)
        return process if was_alive else None


def status(settings: Settings) -> Status:
    """What runs now, asked of the emulator itself.

    Raises EmulatorError when the endpoint does not answer.
    """
    process = None if os.environ.get("AWS_ENDPOINT_URL") else running(settings)
    endpoint = process.endpoint if process else os.environ.get("AWS_ENDPOINT_URL", "")
    if not endpoint:
        return Status(running=False)
    with _errors_of(endpoint):
        s3, kinesis = _s3(settings, process), _kinesis(settings, process)
        buckets = tuple(sorted(bucket["Name"] for bucket in s3.list_buckets()["Buckets"]))
        pages = kinesis.get_paginator("list_streams").paginate()
        names = sorted(name for page in pages for name in page["StreamNames"])
        described = [kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"] for name in names]
    streams = tuple(Stream(one["StreamName"], one["OpenShardCount"], one["StreamStatus"]) for one in described)
    if process is None:
        return Status(True, endpoint, "AWS_ENDPOINT_URL", buckets=buckets, streams=streams)
    return Status(True, endpoint, "lakehouse up", process.pid, str(process.log), buckets, streams)


def running(settings: Settings) -> EmulatorProcess | None:
    """The emulator of this state directory if its process lives; AWS_ENDPOINT_URL is not looked at."""
    process = _recorded(settings)
    return process if process is not None and process.is_alive else None


def environment(settings: Settings) -> dict[str, str]:
    """The variables that lead AWS clients to the stack: endpoint, credentials and region; empty when none runs.

    With AWS_ENDPOINT_URL set, only what else is missing: an emulator wants credentials, whichever they are.
    """
    if os.environ.get("AWS_ENDPOINT_URL"):
        wanted = _variables(settings, os.environ["AWS_ENDPOINT_URL"])
        return {name: value for name, value in wanted.items() if not os.environ.get(name)}
    process = running(settings)
    return _variables(settings, process.endpoint) if process else {}


def _variables(settings: Settings, endpoint: str) -> dict[str, str]:
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
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


def ensure_resources(settings: Settings, process: EmulatorProcess | None = None) -> None:
    """Makes the buckets of root and landing and the streams, 2 shards each, where they do not exist yet.

    The first call to Kinesis starts it, which takes 2 s. Raises EmulatorError when the endpoint does not answer.
    """
    process = process or (None if os.environ.get("AWS_ENDPOINT_URL") else running(settings))
    endpoint = process.endpoint if process else os.environ.get("AWS_ENDPOINT_URL", "AWS")
    with _errors_of(endpoint):
        s3, kinesis = _s3(settings, process), _kinesis(settings, process)
        existing = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for bucket in sorted(_buckets(settings) - existing):
            _create_bucket(s3, bucket, settings.region)
        for stream in sorted(set(settings.streams.values())):
            _create_stream(kinesis, stream)
        for stream in sorted(set(settings.streams.values())):
            _wait_until_active(kinesis, stream)


def _buckets(settings: Settings) -> set[str]:
    addresses = [urlsplit(address) for address in (settings.root, settings.landing)]
    return {address.netloc for address in addresses if address.scheme in ("s3", "s3a")}


def _create_bucket(s3: "S3Client", bucket: str, region: str) -> None:
    try:
        if region == "us-east-1":  # the one region that S3 does not take as a constraint
            s3.create_bucket(Bucket=bucket)
        else:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]
    except s3.exceptions.BucketAlreadyOwnedByYou:
        return


def _create_stream(kinesis: "KinesisClient", stream: str) -> None:
    try:
        kinesis.create_stream(StreamName=stream, ShardCount=SHARDS)
    except kinesis.exceptions.ResourceInUseException:
        return


def _wait_until_active(kinesis: "KinesisClient", stream: str) -> None:
    deadline = time.monotonic() + STREAM_SECONDS
    while True:
        state = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"]
        if state in ("ACTIVE", "UPDATING"):
            return
        if time.monotonic() > deadline:
            raise EmulatorError(f"stream {stream} is still {state} after {STREAM_SECONDS} s")
        time.sleep(0.1)


def _s3(settings: Settings, process: EmulatorProcess | None) -> "S3Client":
    import boto3  # here, so that `lakehouse --help` and a `down` do not wait for it
    from botocore.config import Config

    config = Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=60)
    return boto3.client("s3", config=config, **_client_arguments(settings, process))  # type: ignore[call-overload,no-any-return]


def _kinesis(settings: Settings, process: EmulatorProcess | None) -> "KinesisClient":
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=90)
    return boto3.client("kinesis", config=config, **_client_arguments(settings, process))  # type: ignore[call-overload,no-any-return]


def _client_arguments(settings: Settings, process: EmulatorProcess | None) -> dict[str, str]:
    variables = _variables(settings, process.endpoint) if process else os.environ | environment(settings)
    return {
        "endpoint_url": variables["AWS_ENDPOINT_URL"],
        "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
        "region_name": settings.region,
    }


@contextmanager
def _errors_of(endpoint: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise EmulatorError(f"{endpoint} does not answer as AWS would: {error}") from error


def _state(settings: Settings) -> Path:
    state = settings.state_directory.expanduser().resolve()
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LakehouseError(f"state_directory {state} cannot be made: {error}") from error
    return state


def _record_file(settings: Settings) -> Path:
    return settings.state_directory.expanduser().resolve() / "stack.json"


def _recorded(settings: Settings) -> EmulatorProcess | None:
    """The emulator that this state directory knows of, living or dead."""
    file = _record_file(settings)
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return EmulatorProcess(**{**record, "directory": Path(record["directory"]), "log": Path(record["log"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise EmulatorError(f"{file} is damaged ({error}): end its emulator if one runs, and remove it") from error


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Only one command at a time starts or stops the emulator of a state directory."""
    with (_state(settings) / "stack.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
