"""The silver batch is a function of the records, on a lake that is nothing but rows in memory: fast enough for hundreds
of deliveries of each source, in any order and any batches. `test_silver_batches.py` has the same on real tables.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.oracle.deliveries import DeliveredRecord
from tests.unit.memory_lake import MemoryLake, RememberingLake
from tests.unit.test_silver_batches import MAKE, START, deliveries

EXAMPLES = 150
RECORDS = 25


def moment(hours: int) -> int:
    """So many hours after the first of the records' times, in microseconds since 1970."""
    return (START + timedelta(hours=hours) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def in_batches(lake: MemoryLake, delivered: Sequence[DeliveredRecord], cuts: Sequence[int]) -> None:
    for start, end in pairwise([0, *cuts, len(delivered)]):
        lake.process(delivered[start:end])


@pytest.mark.parametrize("source", MAKE)
@given(
    seed=st.integers(0, 2**32),
    batches=st.integers(1, 8),
    hours=st.integers(-1, 24 * 66),
    identities=st.integers(0, 20),
    groups=st.integers(0, 5),
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_order_and_any_batches_give_what_one_batch_gives_with_and_without_a_memory(
    source: str, seed: int, batches: int, hours: int, identities: int, groups: int
) -> None:
    random = Random(seed)
    delivered = deliveries(source, random, number=RECORDS)
    shuffled = random.sample(delivered, len(delivered))
    cuts = sorted(random.sample(range(1, len(shuffled)), batches))
    whole = MemoryLake(source)
    parts = MemoryLake(source) if seed % 4 == 0 else RememberingLake(source, moment(hours), identities, groups)

    whole.process(delivered)
    in_batches(parts, shuffled, cuts)

    assert parts.rows == whole.rows
    assert sorted(each["record_id"] for each in parts.rejected) == sorted(each["record_id"] for each in whole.rejected)
    assert [str(each) for each in parts.compared(delivered).differences] == []
