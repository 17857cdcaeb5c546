"""What is generated into docs/ is what the sources say today."""

from pathlib import Path

from lakehouse.contract_docs import pages
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS

DOCS = CONTRACTS.parent / "docs" / "contracts"


def test_the_contract_pages_are_current() -> None:
    present = {path.name: path.read_text(encoding="utf-8") for path in Path(DOCS).glob("*.md")}

    assert present == pages(load_contracts(CONTRACTS)), "run `make docs`"
