"""docs/deploy.md and the runbooks name only commands, settings and pages that exist, and docs/deploy.md shows as output
what the program of today has.
"""

import json
import re
from pathlib import Path
from typing import get_args

import pulumi
import pytest
from pydantic import BaseModel

from infra import config as configuration
from infra.config import KEY_PREFIX, EstateConfig
from lakehouse.settings import CONTRACTS
from local.cli import app
from tests.infra import emulated_aws
from tests.infra.conftest import FILES
from tests.infra.declared import Program
from tests.infra.deployed import FORGOTTEN, emulated_program
from tests.infra.recorded_program import ACCOUNT, STACKS, recorded

REPOSITORY = CONTRACTS.parent
DEPLOY = REPOSITORY / "docs" / "deploy.md"
PAGES = [DEPLOY, *sorted((REPOSITORY / "docs" / "runbooks").glob("*.md"))]


def setting(path: str) -> object:
    """The type of a configuration value such as `streams.shards`; AttributeError or KeyError where there is none."""
    model: type[BaseModel] = EstateConfig
    found: object = None
    for part in path.split("."):
        found = model.model_fields[part].annotation
        if isinstance(found, type) and issubclass(found, BaseModel):
            model = found
        elif get_args(found):
            break
    return found


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text(REPOSITORY / "Makefile"), re.MULTILINE))
    # A command's name is its function's where none is given.
    commands = {each.name or getattr(each.callback, "__name__", "") for each in app.registered_commands}

    assert set(re.findall(r"^make ([a-z]+)", text(page), re.MULTILINE)) <= targets
    assert set(re.findall(r"(?:^|`|\d )lakehouse ([a-z]+)", text(page), re.MULTILINE)) <= commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_exist(page: Path) -> None:
    sections = ("streams", "compute", "batch", "retention", "switches")
    assert set(sections) <= set(EstateConfig.model_fields)
    named = set(re.findall(rf"{KEY_PREFIX}:([a-z_.]+)", text(page)))
    named |= set(re.findall(rf"`((?:{'|'.join(sections)})(?:\.[a-z_]+)+)[:`]", text(page)))

    for path in named:
        assert setting(path) is not None, path


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(DEPLOY)):
        assert (DEPLOY.parent / link).resolve().is_file(), link


def test_the_refusal_that_the_page_shows_is_what_the_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"monthly_budget_usd": "a lot", "vpc_cidr": "192.168.0.0/16"}
    monkeypatch.setattr(pulumi.Config, "get", lambda _, key, *rest: given.get(key))

    with pytest.raises(configuration.ConfigurationError) as refused:
        configuration.load(pulumi.Config(KEY_PREFIX), None, ())

    assert f"```\n{refused.value}\n```" in text(DEPLOY)


@pytest.fixture(scope="module")
def emulated() -> Program:
    """The stack of which the page shows output."""
    return emulated_program()


def count(program: Program) -> int:
    """As Pulumi counts: the stack is one more."""
    return len(program.resources) + 1


@pytest.mark.parametrize("stack", STACKS)
def test_the_page_has_the_number_of_resources_of_a_stack(stack: str) -> None:
    assert f"preview: stack {stack}, {count(recorded(stack))} resources, 0 warnings\n" in text(DEPLOY)


def test_the_page_has_the_number_of_files_of_the_package() -> None:
    assert re.findall(r"^(\d+) files, \d+ MB in …/dist/package$", text(DEPLOY), re.MULTILINE) == [str(len(FILES))]


def test_the_page_has_what_an_up_makes_and_a_second_one_proposes(emulated: Program) -> None:
    made = count(emulated)

    assert re.findall(r"^    [+-] (\d+) (to create|created|deleted)$", text(DEPLOY), re.MULTILINE) == [
        (str(made), "to create"),
        (str(made), "created"),
        (str(made), "deleted"),
    ]
    replaced = sum(operation == "replace" for operation, *_ in FORGOTTEN.values())
    assert (
        f"    ~ {len(FORGOTTEN) - replaced} to update\n"
        f"    +-{replaced} to replace\n"
        f"    {len(FORGOTTEN)} changes. {made - len(FORGOTTEN)} unchanged\n"
    ) in text(DEPLOY)


def test_the_page_has_the_outputs_of_the_program(emulated: Program) -> None:
    head, _, rest = text(DEPLOY).partition("    OUTPUT            VALUE\n")
    shown = dict(re.findall(r"^    ([a-zA-Z]+) {2,}(\S.*)$", rest.partition("```")[0], re.MULTILINE))
    outputs = {name: value for name, value in emulated.outputs.items() if value is not None}
    # AWS chooses an application's id.
    whole = {name: value for name, value in shown.items() if "…" not in value and name != "applicationId"}

    assert head.endswith(f"Current stack outputs ({len(outputs)}):\n")
    assert shown.keys() == outputs.keys()
    for name, value in whole.items():
        told = json.loads(json.dumps(outputs[name]).replace(ACCOUNT, emulated_aws.ACCOUNT))
        assert told == (value if isinstance(told, str) else json.loads(value)), name
