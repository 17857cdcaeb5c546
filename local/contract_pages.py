"""`python -m local.contract_pages` writes docs/contracts: a page for each contract."""

from lakehouse.contract_docs import pages
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS


def main() -> None:
    """Writes every page anew, and removes those of contracts that are gone."""
    folder = CONTRACTS.parent / "docs" / "contracts"
    folder.mkdir(parents=True, exist_ok=True)
    written = pages(load_contracts(CONTRACTS))
    for old in folder.glob("*.md"):
        if old.name not in written:
            old.unlink()
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
