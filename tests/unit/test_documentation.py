"""What is generated into docs/ is what the sources say today."""

import re
from pathlib import Path

from lakehouse.contract_docs import pages
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS

DOCS = CONTRACTS.parent / "docs" / "contracts"


def test_the_contract_pages_are_current() -> None:
    present = {path.name: path.read_text(encoding="utf-8") for path in Path(DOCS).glob("*.md")}

    assert present == pages(load_contracts(CONTRACTS)), "run `make docs`"


def test_every_test_that_the_guarantees_name_exists() -> None:
    page = (DOCS.parent / "guarantees.md").read_text(encoding="utf-8")
    sources = {path: path.read_text(encoding="utf-8") for path in (DOCS.parents[1] / "tests").rglob("test_*.py")}
    present = {name for text in sources.values() for name in re.findall(r"def (test_\w+)\(", text)}
    named = {name for name in re.findall(r"`(test_\w+)`", page)}
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", page))

    assert len(named) > 50
    assert named - present == set()
    assert [name for name in files if not (DOCS.parents[1] / name).is_file()] == []
