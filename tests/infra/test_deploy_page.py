"""docs/deploy.md and the runbooks name only commands, settings and pages that exist."""

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
    sections = [name for name, field in EstateConfig.model_fields.items() if name in ("streams", "compute", "retention",
                                                                                     "switches")]  # fmt: skip
    named = set(re.findall(rf"{KEY_PREFIX}:([a-z_.]+)", text(page)))
    named |= set(re.findall(rf"`((?:{'|'.join(sections)})\.[a-z_]+)[:`]", text(page)))

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
