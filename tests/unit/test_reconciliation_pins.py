"""Which versions belong together, read from tables whose commits say what they have taken in."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from batch.reconciliation.pins import (
    GoldPins,
    NotReconcilableError,
    NotYetError,
    SourcePins,
    gold_before,
    gold_pins,
    pins_before,
    source_pins,
)
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.delta.table import OwnedTable
from lakehouse.kpi_tables import fingerprint
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS
from runtime.lineage import Lineage, TableInput
from runtime.storage import Storage
from runtime.tables import ensure_table
from streaming.gold_fit import FINGERPRINT

ROWS = pa.table({"n": [1]}, pa.schema([pa.field("n", pa.int64())]))
NO_ROWS = ROWS.slice(0, 0)


class Tables:
    """The tables of crm and of a gold table, whose commits have no content worth reading."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.contracts: Contracts = load_contracts(CONTRACTS)
        self.layout = Layout(self.root)

    def table(self, name: str) -> OwnedTable:
        return ensure_table(self.layout.table(name), ROWS.schema, [], {})

    def bronze(self, commits: int) -> None:
        table = self.table("bronze.crm")
        for _ in range(commits):
            table.append(ROWS, {}, "")

    def batch(self, last: int, first: int = 0, rejects: bool = True, silver: bool = True) -> None:
        """What a silver batch commits; without `silver` it dies before its end."""
        transaction = {f"bronze.crm@{self.table('bronze.crm').id}": last}
        metadata = lineage("silver", "customer_interactions", TableInput("bronze.crm", first, last))
        if rejects:
            self.table("rejected.crm").append(ROWS, transaction, metadata)
        if silver:
            self.table("silver.customer_interactions").append(ROWS, transaction, metadata)

    def gold(self, taken: Mapping[str, tuple[int, int]]) -> None:
        """A gold batch that takes in the versions `(first, last)` of silver tables."""
        ids = {f"{name}@{self.table(name).id}": last for name, (_, last) in taken.items()}
        inputs = (TableInput(name, first, last) for name, (first, last) in taken.items())
        self.table("gold.marketing_funnel").append(ROWS, ids, lineage("gold", "marketing_funnel", *inputs))

    def pins(self) -> SourcePins:
        return source_pins(self.root, self.contracts, "crm")


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


def lineage(job: str, query: str, *inputs: TableInput) -> str:
    return Lineage(job=job, query=query, batch=0, code="", contract="1.0.0", inputs=inputs).to_json()


def test_a_source_is_pinned_where_its_last_batch_ended(tables: Tables) -> None:
    tables.bronze(commits=4)
    tables.batch(last=2)
    assert tables.pins() == SourcePins("crm", bronze=2, silver=1, rejected=1)
    tables.batch(last=3, first=3, rejects=False)
    assert tables.pins() == SourcePins("crm", bronze=3, silver=2, rejected=1)


def test_what_a_batch_under_way_has_rejected_is_left_out(tables: Tables) -> None:
    tables.bronze(commits=4)
    tables.batch(last=2)
    tables.batch(last=3, first=3, silver=False)
    tables.batch(last=4, first=3, silver=False)  # another attempt, that took in more
    assert tables.pins() == SourcePins("crm", bronze=2, silver=1, rejected=1)
    tables.batch(last=4, first=3)
    assert tables.pins() == SourcePins("crm", bronze=4, silver=2, rejected=4)


def test_what_others_commit_is_not_left_out(tables: Tables) -> None:
    tables.bronze(commits=1)
    tables.batch(last=1)
    for name in ("silver.customer_interactions", "rejected.crm"):
        tables.table(name).append(ROWS, {"somebody": 99}, "by hand")
    tables.table("silver.customer_interactions").append(NO_ROWS, {"redrive:x": 0}, "")
    assert tables.pins() == SourcePins("crm", bronze=1, silver=3, rejected=2)


def test_a_source_that_has_never_rejected_anything(tables: Tables) -> None:
    tables.bronze(commits=1)
    tables.batch(last=1, rejects=False)
    assert tables.pins() == SourcePins("crm", bronze=1, silver=1, rejected=-1)


def test_silver_that_has_taken_in_nothing_is_not_there_yet(tables: Tables) -> None:
    told = "silver.customer_interactions has taken in nothing yet: run `lakehouse stream silver`"
    with pytest.raises(NotYetError, match=told):
        tables.pins()
    tables.bronze(commits=1)
    with pytest.raises(NotYetError, match=told):
        tables.pins()
    tables.batch(last=1, silver=False)
    tables.table("silver.customer_interactions")
    with pytest.raises(NotYetError, match=told):
        tables.pins()


def test_silver_of_another_bronze_table_is_no_new_silver(tables: Tables) -> None:
    tables.bronze(commits=1)
    tables.table("silver.customer_interactions").append(ROWS, {"bronze.crm@another": 7}, "")
    with pytest.raises(NotReconcilableError, match="has taken in another table than the bronze.crm that is there"):
        tables.pins()


def test_a_redrive_under_way_is_refused(tables: Tables) -> None:
    tables.bronze(commits=1)
    tables.batch(last=1)
    notes = Storage.open(f"{tables.layout.checkpoint('silver', 'customer_interactions')}_redrive")
    notes.put_if_absent("00000000.json", b"{}")
    with pytest.raises(NotReconcilableError, match="a redrive of crm is under way or died"):
        tables.pins()
    notes.put_if_absent("00000000.done", b"")
    assert tables.pins().silver == 1


def test_the_point_before_a_version_is_that_before_the_batch_that_took_it_in(tables: Tables) -> None:
    tables.bronze(commits=6)
    tables.batch(last=2)
    tables.batch(last=3, first=3, rejects=False)
    tables.batch(last=5, first=4)
    now = tables.pins()
    assert now == SourcePins("crm", bronze=5, silver=3, rejected=2)
    points = [pins_before(tables.root, tables.contracts, now, bronze) for bronze in (5, 4, 3, 2)]
    assert [(each.bronze, each.silver, each.rejected) for each in points] == [
        (5, 3, 2),
        (3, 2, 1),
        (3, 2, 1),
        (2, 1, 1),
    ]
    with pytest.raises(NotReconcilableError, match="--since 6: silver has taken in bronze.crm up to version 5"):
        pins_before(tables.root, tables.contracts, now, 6)


def test_gold_is_pinned_with_the_silver_that_it_has_taken_in(tables: Tables) -> None:
    spend, web = "silver.campaign_spend", "silver.sessionized_web_logs"
    silver = (spend, web)
    for name in silver:
        tables.table(name)
    with pytest.raises(NotYetError, match="there is no gold.marketing_funnel yet: run `lakehouse stream gold`"):
        gold_pins(tables.root, tables.contracts, "marketing_funnel", silver)
    tables.table("gold.marketing_funnel")
    with pytest.raises(NotYetError, match="gold.marketing_funnel has taken in nothing yet"):
        gold_pins(tables.root, tables.contracts, "marketing_funnel", silver)
    tables.gold({spend: (0, 3)})
    with pytest.raises(NotYetError, match="gold.marketing_funnel is of other KPI declarations than today's"):
        gold_pins(tables.root, tables.contracts, "marketing_funnel", silver)
    declared = fingerprint(tables.contracts["marketing_funnel"], [tables.table(name).id for name in silver])
    tables.table("gold.marketing_funnel").set_property(FINGERPRINT, declared)
    assert gold_pins(tables.root, tables.contracts, "marketing_funnel", silver) == GoldPins(
        "marketing_funnel", 2, {spend: 3, web: -1}
    )
    tables.gold({spend: (4, 5), web: (0, 2)})
    tables.table("gold.marketing_funnel").append(NO_ROWS, {}, "by hand")
    now = gold_pins(tables.root, tables.contracts, "marketing_funnel", silver)
    assert now == GoldPins("marketing_funnel", 4, {spend: 5, web: 2})
    assert gold_before(tables.root, now, {spend: 4}) == GoldPins("marketing_funnel", 2, {spend: 3, web: -1})
