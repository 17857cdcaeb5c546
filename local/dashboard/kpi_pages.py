"""The pages that explain the KPIs: what docs/kpis says, behind every title of the dashboard."""

from dash import dcc, html

from lakehouse.contracts import Contracts
from lakehouse.kpis import KPIS
from local.kpi_docs import index, page

FOLDER = "kpis"


def kpi_page(path: str, contracts: Contracts) -> html.Div:
    """The page at `kpis/<name>`; the index for `kpis`, and for a name that no KPI has."""
    name = path.removeprefix(FOLDER).strip("/")
    kpi = next((each for each in KPIS if each.name == name), None)
    text = page(kpi, contracts) if kpi else _with_links(index())
    back = [] if kpi is None else [dcc.Link("All KPIs", href=f"/{FOLDER}", className="back")]
    return html.Div([*back, dcc.Markdown(text, className="kpi-text")], className="kpi-page panel", id="page-kpis")


def _with_links(text: str) -> str:
    """The index with links to pages of the dashboard in place of files."""
    for kpi in KPIS:
        text = text.replace(f"]({kpi.name}.md)", f"](/{FOLDER}/{kpi.name})")
    return text
