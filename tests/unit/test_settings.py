"""Settings: where they come from, and what a wrong one says."""

from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError
from lakehouse.settings import load_settings


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LAKEHOUSE_CONFIG", "LAKEHOUSE_ROOT", "LAKEHOUSE_LANDING", "LAKEHOUSE_TRIGGER_SECONDS"):
        monkeypatch.delenv(name, raising=False)


def test_flags_win_over_variables_and_those_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lakehouse.toml").write_text('root = "s3://file/lake"\nlanding = "s3://file/in"\ntrigger_seconds = 3\n')
    monkeypatch.setenv("LAKEHOUSE_LANDING", "s3://variable/in")
    monkeypatch.setenv("LAKEHOUSE_TRIGGER_SECONDS", "2")

    found = load_settings(trigger_seconds=0.5, root=None)

    assert (found.root, found.landing, found.trigger_seconds) == ("s3://file/lake", "s3://variable/in", 0.5)


def test_a_folder_is_taken_from_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    found = load_settings(root="lake", landing="~/in")

    assert (found.root, found.landing) == (str(tmp_path / "lake"), str(tmp_path / "home" / "in"))


def test_a_wrong_setting_is_named_with_its_value() -> None:
    with pytest.raises(LakehouseError, match=r"trigger_seconds = -1: Input should be greater than or equal to 0"):
        load_settings(trigger_seconds=-1)


def test_an_unknown_setting_is_refused() -> None:
    Path("lakehouse.toml").write_text("triger_seconds = 3\n")

    with pytest.raises(LakehouseError, match="triger_seconds"):
        load_settings()
