"""The requests that a batch makes of S3 and Kinesis, counted on the emulator, and what AWS would ask for them."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.proxy import counting_proxy, kinesis_operation
from bench.result import Result, Table
from bench.stream_run import stream_all
from infra.prices import PRICES

EVENTS, CALLS, PAUSE = 500, 20, 3.0
QUICK_CALLS = 4
IDLE_SECONDS, QUICK_IDLE_SECONDS = 40, 10
SECONDS_A_MONTH = 730 * 3600
BILLED_AS_PUT = ("PUT", "POST", "LIST")
PLACES = (
    ("_delta_log", "logs of tables"),
    ("/ledger/", "ledger"),
    ("/leases/", "leases"),
    ("checkpoints/", "checkpoint"),
)


def run(quick: bool, folder: Path) -> Result:
    """Counts while nothing comes, then while batches of 500 events come one by one; the difference is the batches'."""
    idle_seconds, calls = (QUICK_IDLE_SECONDS, QUICK_CALLS) if quick else (IDLE_SECONDS, CALLS)
    with counting_proxy(_request) as s3, counting_proxy(kinesis_operation) as kinesis:
        endpoints = {"AWS_ENDPOINT_URL_S3": s3.before, "AWS_ENDPOINT_URL_KINESIS": kinesis.before}
        with stream_all(folder / "requests", endpoints) as stream:
            stream.wait(stream.send(EVENTS, 5))
            time.sleep(10)
            before = Counter(s3.calls)
            time.sleep(idle_seconds)
            idle = s3.calls - before
            started, before, asked = time.monotonic(), Counter(s3.calls), Counter(kinesis.calls)
            versions = stream.newest("bronze.web_logs")
            for _ in range(calls):
                sent = stream.put(EVENTS)
                time.sleep(PAUSE)
            stream.wait(sent)
            busy, seconds = s3.calls - before, time.monotonic() - started
            asked = kinesis.calls - asked
            batches = stream.newest("bronze.web_logs") - versions
    resting = {name: count / idle_seconds for name, count in idle.items()}
    of_batch = {
        name: max(0.0, (busy[name] - resting.get(name, 0.0) * seconds) / batches) for name in sorted(busy | idle)
    }
    return _result(resting, of_batch, batches, asked["GetRecords"] / seconds)


def _result(resting: Mapping[str, float], of_batch: Mapping[str, float], batches: int, polls: float) -> Result:
    rows = [(name, f"{of_batch.get(name, 0.0):.1f}", f"{resting.get(name, 0.0):.2f}") for name in of_batch]
    totals, usd = [], []
    for counts in (of_batch, resting):
        puts = sum(each for name, each in counts.items() if name.startswith(BILLED_AS_PUT))
        gets = sum(each for name, each in counts.items() if name.startswith(("GET", "HEAD")))
        totals.append((puts, gets))
        usd.append(puts * PRICES["S3 PUT or LIST"].each + gets * PRICES["S3 GET"].each)
    (puts, gets), (idle_puts, idle_gets) = totals
    return Result(
        title="Requests of a batch",
        method=(
            "`lakehouse stream all` with its default settings on MiniStack, its S3 and Kinesis behind proxies that "
            f"count. {batches} batches of 500 web events, one every {PAUSE:.0f} s, through bronze, silver, both gold "
            "tables; what the job asks for while nothing comes is taken off. Priced by "
            "`infra/prices.py`: us-east-1; PUT, POST and LIST have one price, GET and HEAD another, DELETE none."
        ),
        goals=(),
        tables=(
            Table(("request", "a batch", "a second, idle"), tuple(rows)),
            Table(
                ("what", "a batch", "idle"),
                (
                    ("PUT, POST, LIST", f"{puts:.1f}", f"{idle_puts:.2f} a second"),
                    ("GET, HEAD", f"{gets:.1f}", f"{idle_gets:.2f} a second"),
                    ("USD", f"{1e6 * usd[0]:.0f} a million batches", f"{usd[1] * SECONDS_A_MONTH:.2f} a month"),
                    ("GetRecords a second, all shards", f"{polls:.2f}", ""),
                ),
            ),
        ),
        figures={"puts": puts, "gets": gets, "idle puts": idle_puts, "idle gets": idle_gets, "usd": usd[0]},
    )


def _request(method: str, path: str, headers: Mapping[str, str]) -> str:
    parts = urlsplit(path)
    asked = parse_qs(parts.query, keep_blank_values=True)
    if method == "GET" and ("list-type" in asked or "prefix" in asked):
        kind, place = "LIST", "/".join(asked.get("prefix", [""]))
    else:
        kind, place = method, parts.path
    return f"{kind} {next((told for part, told in PLACES if part in place), 'data files')}"
