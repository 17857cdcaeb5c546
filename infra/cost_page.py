"""`python -m infra.cost_page` writes docs/cost.md: what the committed stacks cost a month, and on which assumptions."""

from collections.abc import Mapping

from infra.estimate import (
    ACCESS_LOG_BYTES,
    ASSUMED,
    AUDITED_A_BATCH,
    EVENT_BYTES,
    GETS_A_BATCH,
    LOADS,
    MONTHS_KEPT,
    PUTS_A_BATCH,
    REPOSITORY,
    SHARDS_ON_DEMAND,
    STORED_SHARE,
    TRAIL_BYTES,
    Line,
    bill,
    configuration,
)
from infra.prices import DEARER, PRICES
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS

PAGE = REPOSITORY / "docs" / "cost.md"


def page() -> str:
    """docs/cost.md."""
    contracts = load_contracts(CONTRACTS)
    bills = {stack: bill(configuration(stack), contracts, load) for stack, load in LOADS.items()}
    parts = [INTRODUCTION, _summary(bills)]
    parts += [_details(stack, lines) for stack, lines in bills.items()]
    parts += [_assumptions(), NOT_IN_IT, _prices()]
    return "\n".join(parts)


def _summary(bills: Mapping[str, list[Line]]) -> str:
    components = list(dict.fromkeys(line.component for lines in bills.values() for line in lines))
    rows = ["| component | " + " | ".join(bills) + " |", "|---|" + "---:|" * len(bills)]
    for component in components:
        sums = [sum(line.usd for line in lines if line.component == component) for lines in bills.values()]
        rows.append(f"| {component} | " + " | ".join(f"{usd:,.0f}" for usd in sums) + " |")
    totals = [sum(line.usd for line in lines) for lines in bills.values()]
    rows.append("| **USD a month** | " + " | ".join(f"**{usd:,.0f}**" for usd in totals) + " |")
    return "\n".join([*rows, ""])


def _details(stack: str, lines: list[Line]) -> str:
    rows = [f"## {stack}", "", "| component | what | amount | price | USD a month |", "|---|---|---:|---|---:|"]
    rows += [
        f"| {line.component} | {line.what} | {line.amount:,.0f} | {line.price} | {line.usd:,.2f} |" for line in lines
    ]
    return "\n".join([*rows, ""])


def _assumptions() -> str:
    rows = ["## Assumed", "", "| | " + " | ".join(LOADS) + " |", "|---|" + "---:|" * len(LOADS)]
    for field, meaning in ASSUMED.items():
        values = " | ".join(f"{getattr(load, field):g}" for load in LOADS.values())
        rows.append(f"| {meaning} | {values} |")
    rows += [
        "",
        f"An event has {EVENT_BYTES} bytes, {STORED_SHARE:.0%} of that once stored; {MONTHS_KEPT} months are kept. A "
        f"micro-batch writes {PUTS_A_BATCH} objects and reads {GETS_A_BATCH}, of which CloudTrail records "
        f"{AUDITED_A_BATCH}. A line of S3's access logs has {ACCESS_LOG_BYTES} bytes, an event of the trail "
        f"{TRAIL_BYTES} once compressed. A stream on demand has {SHARDS_ON_DEMAND} shards. None of these has been "
        "measured on AWS: replace them with your first month's figures.",
        "",
    ]
    return "\n".join(rows)


def _prices() -> str:
    dearer = ", ".join(f"{region} {share - 1:.0%}" for region, share in DEARER.items() if share > 1)
    told = (
        "Of us-east-1, entered by hand: AWS' price pages decide, and `python -m infra.price_check` compares them with "
        f"AWS' price list. The default stack costs about this much more elsewhere: {dearer}."
    )
    rows = [
        "## Prices",
        "",
        told,
        "",
        "| price | | seen | source |",
        "|---|---|---|---|",
        *(f"| {name} | {price} | {price.seen} | {price.source} |" for name, price in PRICES.items()),
    ]
    return "\n".join([*rows, ""])


INTRODUCTION = """# What it costs

An estimate of a month, a year after the start, for the two committed stacks: `dev` as it is, and `prod` at 1 000 events
a second. `python -m infra.cost_page` computes this page from `Pulumi.<stack>.yaml`, the contracts and the prices in
`infra/prices.py`; do not edit it. The budget (`monthly_budget_usd`) is separate: it tells when more is spent, and stops
nothing.

What weighs most, and the setting that changes it:

- **Streaming jobs** run always, whether or not anything arrives: `compute.together` (one job for all layers),
  `compute.driver_cores`, `compute.executors` and the memory settings, or `switches.streaming_jobs: false` for a stack
  that is not needed at night. Batches are computed by the driver: one small executor is enough.
- **Firehose** bills each record as 5 KB, however small: `switches.archive`. Without it nothing older than the stream's
  retention can be replayed from outside bronze.
- **Micro-batches** write and read objects: `compute.trigger_seconds`. A trigger of 10 s makes at most a tenth of the
  batches of one of 1 s. Looking for news costs little: one small request for each table below, once a trigger.
- **CloudTrail's data events** follow the number of micro-batches, so they follow the trigger too: `switches.trail`.
"""
NOT_IN_IT = """## Not in it

Taxes, support, data transfer to other Regions or out of AWS, free tiers, discounts, and the warehouse's own storage.
KMS requests are few thanks to bucket keys and left out, as are SNS and EventBridge: they cost cents.
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
