"""The estate, really made: one `pulumi up` of the dev stack against an emulator, shared by the tests of this run.

What the emulator cannot create is left out here; previews check it all. What it forgets is named.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.infra.declared import Program
from tests.infra.emulated_aws import emulated_aws
from tests.infra.engine import Engine, Run, absent
from tests.infra.recorded_program import recorded

# What declares it: what moto 5.2 says to it.
NOT_EMULATED = {
    "infra.governance.Governance._rows": "Lake Formation knows no data cells filters (404)",
    "pulumi_aws.lakeformation.OptIn": "Lake Formation knows no opt-ins (404)",
    "pulumi_aws.budgets.Budget": "Budgets know neither tags nor notifications as the provider sends them",
}
# What the second plan proposes though nothing changed, because the emulator forgets a part of what it was told; plain
# Terraform sees the same. Anything else fails.
FORGOTTEN: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "aws:lakeformation/resource:Resource governance": (
        "replace", ("hybridAccessEnabled",), "that the location is in hybrid mode",
    ),
    **{
        f"aws:kinesis/stream:Stream streams-{name}": ("update", ("tags", "tagsAll"), "the tags of a stream")
        for name in ("crm", "web_logs")
    },
}  # fmt: skip


def leaving_out(declare: Callable[[], None]) -> Callable[[], None]:
    """The program without what the emulator cannot create."""

    def declared() -> None:
        with contextlib.ExitStack() as stack:
            for name in NOT_EMULATED:
                stack.enter_context(patch(name))
            declare()

    return declared


def emulated_program(**sections: Mapping[str, Any] | str) -> Program:
    """What is left of the dev stack in the emulator."""
    return recorded("dev", leaving_out, **sections)


@dataclass(frozen=True)
class Deployed:
    """A running estate: its engine, its emulator, what `up` did."""

    engine: Engine
    endpoint: str
    up: Run
    globals: dict[str, Any]
    """The names that the program sees."""


@pytest.fixture(scope="session")
def emulator_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An emulated AWS, if there is an engine to use it."""
    if (why := absent()) is not None:
        pytest.skip(why)
    with emulated_aws(tmp_path_factory.mktemp("aws") / "emulator.log") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def deployed(emulator_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The dev stack after `up`."""
    print("\nleft out of `up`, since the emulator cannot create it (previews check it):")
    for name, reason in NOT_EMULATED.items():
        print(f"  {name}: {reason}")
    engine = Engine("dev", emulator_endpoint, tmp_path_factory.mktemp("estate"))
    names = engine.declare.__globals__
    engine.declare = leaving_out(engine.declare)
    return Deployed(engine, emulator_endpoint, engine.up(), names)


def changed_contracts(original: Path, folder: Path, table: str, old: str, new: str) -> Path:
    """A copy of the contracts in which one text of one table's contract is another."""
    copy = folder / "contracts"
    shutil.copytree(original, copy)
    contract = copy / f"{table}.odcs.yaml"
    text = contract.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {contract.name}"
    contract.write_text(text.replace(old, new))
    return copy
