"""`python -m local.kpi_pages` writes docs/kpis: a page for each KPI, and an index by team."""

from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS
from local.kpi_docs import pages


def main() -> None:
    """Writes every page anew, and removes those of KPIs that are gone."""
    folder = CONTRACTS.parent / "docs" / "kpis"
    folder.mkdir(parents=True, exist_ok=True)
    written = pages(load_contracts(CONTRACTS))
    for old in folder.glob("*.md"):
        if old.name not in written:
            old.unlink()
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
