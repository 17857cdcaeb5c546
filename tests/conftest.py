"""What all tests share: one emulator and one Spark session for the whole run, each only if a test asks for it."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings as hypothesis_settings
from pyspark.sql import SparkSession

from lakehouse.settings import Settings
from local import stack
from runtime.spark import create_session

# How long an example takes says more of the machine than of the code.
hypothesis_settings.register_profile("lakehouse", deadline=None)
hypothesis_settings.load_profile("lakehouse")
# What a shell puts into the background is deaf to Ctrl-C, and children inherit that: the commands under test too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a running emulator: S3 and Kinesis with the buckets and streams that they name.

    It has a port and a state directory of its own, and AWS_* variables lead to it until the run ends. With
    AWS_ENDPOINT_URL set it is the one that runs there.
    """
    settings = Settings(state_directory=tmp_path_factory.mktemp("stack"))
    used = stack.start(settings, port=0)
    variables = stack.environment(settings)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    yield settings
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if used.started_now:
        stack.stop(settings)


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The run's one Spark session; starting it takes seconds, and its Python workers more.

    S3A reads its endpoint when the session starts: so the emulator goes first if any test of this run uses it.
    """
    if any("emulator" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("emulator")
    folder = tmp_path_factory.mktemp("spark")
    session = create_session("tests", Settings(root=str(folder / "lake"), state_directory=folder))
    yield session
    session.stop()


@pytest.fixture(scope="module", autouse=True)
def forget_tables() -> Iterator[None]:
    """Delta keeps the state of each table that it has read for an hour, and Python whatever frames no collection has
    come to: of the hundreds of tables that tests make, that fills the session's heap.
    """
    yield
    session = SparkSession.getActiveSession()
    if session is not None:
        gc.collect()
        jvm = session._jvm
        assert jvm is not None
        jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
