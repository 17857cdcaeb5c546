"""Which KPIs a gold table holds, and which silver tables they read: questions to the declarations in `kpis.py`."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from lakehouse.contracts import Contract
from lakehouse.kpi_model import Contribution, Kpi
from lakehouse.kpis import KPIS

TABLES = tuple(dict.fromkeys(kpi.table.removeprefix("gold.") for kpi in KPIS))


def kpis_of(table: str) -> tuple[Kpi, ...]:
    """The KPIs of a gold table such as `sales_kpis`, as declared."""
    return tuple(kpi for kpi in KPIS if kpi.table == f"gold.{table}")


def contributions_of(table: str, source: str) -> tuple[tuple[Kpi, Contribution], ...]:
    """What rows of the silver table `source` add to the KPIs of a gold table, each with its KPI."""
    return tuple((kpi, each) for kpi in kpis_of(table) for each in kpi.contributions if each.source == source)


def sources_of(table: str) -> tuple[str, ...]:
    """The silver tables that a gold table's KPIs read, such as `silver.validated_pos`, in the order of declaration."""
    return tuple(dict.fromkeys(each.source for kpi in kpis_of(table) for each in kpi.contributions))


def ranked_sources_of(table: str) -> tuple[str, ...]:
    """The silver tables behind a gold table's percentiles; none when all its KPIs add up."""
    ranked = (each for kpi in kpis_of(table) for each in kpi.contributions if each.percentile is not None)
    return tuple(dict.fromkeys(each.source for each in ranked))


def fingerprint(gold: Contract, silver_ids: Sequence[str]) -> str:
    """A short hash of everything a gold table's rows follow from besides silver's rows.

    That is its KPI declarations, its contract's version and which silver tables feed it (`silver_ids`): where one of
    them differs, rows made before do not add up with rows made now.
    """
    declared = [asdict(kpi) for kpi in kpis_of(gold.name)]
    text = json.dumps([declared, gold.version, list(silver_ids)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
