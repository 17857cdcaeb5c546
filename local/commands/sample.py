"""`lakehouse sample`: reference data, files and events that fit the contracts, to see a first KPI with."""

import gzip
import json as json_text
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from threading import Event
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from local.generator.landing import LandingFile
from local.generator.produce import kinesis_client
from local.generator.production import Production, plan
from local.generator.put import put_records
from runtime.region import use_region
from runtime.storage import Storage

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

SEED = 7
# Of a day: enough for every KPI, little enough for the smallest stream.
HOURS, VISITS, LOG_LINES = 4, 120, 400
HEADER_AND_LINE = 2


class SampleError(LakehouseError):
    """The sample cannot be put where it was asked for; the message says what to do."""


@dataclass(frozen=True)
class Put:
    """What was put: files by source, records by stream."""

    to: str
    files: Mapping[str, int]
    records: Mapping[str, int]


def run(
    to: str,
    streams: bool,
    days: int,
    settings: Settings,
    json: bool = False,
    kinesis: "Callable[[], KinesisClient]" = kinesis_client,
) -> None:
    """Puts the files below `to`, a folder or `s3://bucket/prefix`, and with `streams` the events on the streams of the
    settings; prints what was put. Files that are there already stay.

    Raises SampleError when there is no such stream, and LakehouseError when other files have these names.
    """
    use_region(settings.region)
    put = put_sample(sample(days), to, settings.streams if streams else {}, kinesis)
    if json:
        print(json_text.dumps(asdict(put)))
        return
    for source, count in put.files.items():
        print(f"{count:6} files of {source} in {put.to}/{source}/")
    for stream, count in put.records.items():
        print(f"{count:6} records on the stream {stream}")


def sample(days: int) -> Production:
    """The sample: what the sources deliver in some days, without the files and lines that are wrong on purpose."""
    planned = plan(days, SEED, hours=HOURS, visits=VISITS, log_lines=LOG_LINES, faults=0)
    files = [sound for file in planned.files if (sound := _sound(file)) is not None]
    return replace(planned, files=tuple(files))


def _sound(file: LandingFile) -> LandingFile | None:
    """The file without its faulty lines; None where nothing but a header is left."""
    if file.fault is not None:
        return None
    if not file.faults:
        return file
    packed = file.path.endswith(".gz")
    lines = (gzip.decompress(file.data) if packed else file.data).splitlines(keepends=True)
    kept = [line for number, line in enumerate(lines, 1) if number not in file.faults]
    if len(kept) < HEADER_AND_LINE:
        return None
    data = b"".join(kept)
    return replace(file, data=gzip.compress(data, mtime=0) if packed else data, faults={})


def put_sample(
    production: Production,
    to: str,
    streams: Mapping[str, str],
    kinesis: "Callable[[], KinesisClient]" = kinesis_client,
) -> Put:
    """Puts the files, then the records of the sources that have a stream in `streams`."""
    production.write_landing(Storage.open(to))
    files = Counter(file.source for file in production.files)
    records = [record for record in production.records if record.source in streams]
    if records:
        try:
            put_records(records, kinesis(), streams, 0, lambda taken: None, Event())
        except ClientError as error:
            raise SampleError(f"the streams {', '.join(streams.values())} take no records: {error}") from error
    return Put(to.rstrip("/"), dict(files), dict(Counter(streams[record.source] for record in records)))
