"""The meaning of every KPI, by its name. A KPI that is declared without one fails the tests."""

from collections.abc import Mapping

from local.meanings.finance import FINANCE
from local.meanings.marketing import MARKETING
from local.meanings.meaning import Meaning
from local.meanings.operations import OPERATIONS
from local.meanings.sales import SALES
from local.meanings.support import SUPPORT

__all__ = ["MEANINGS", "Meaning"]

MEANINGS: Mapping[str, Meaning] = {
    meaning.kpi: meaning for team in (SALES, FINANCE, MARKETING, SUPPORT, OPERATIONS) for meaning in team
}
