"""The pipelines in .github: who may do what in them, what they deploy when, and what their shell does."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.recorded_program import ROOT, STACKS

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / ".github" / "actions" / "deployer" / "action.yml"


def jobs(name: str) -> dict[str, Any]:
    """The jobs of a workflow."""
    content = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))
    return dict(content["jobs"])


def steps(job: dict[str, Any], uses: str) -> list[dict[str, Any]]:
    """What the steps of an action are given."""
    return [step.get("with", {}) for step in job["steps"] if step.get("uses", "").partition("@")[0] == uses]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_token_may_read_and_no_more_than_its_job_needs(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))

    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        assert job.get("permissions", {}).get("contents", "read") == "read", name


def test_each_stack_is_deployed_in_turn_and_prod_behind_its_approval() -> None:
    found = jobs("deploy")

    assert [steps(found[name], "pulumi/actions") for name in ("preview", "dev", "prod")] == [
        [{"command": "preview", "stack-name": "dev", "comment-on-pr": True}],
        [{"command": "up", "stack-name": "dev"}],
        [{"command": "up", "stack-name": "prod"}],
    ]
    assert (found["prod"]["needs"], found["prod"]["environment"]) == ("dev", "prod")
    assert found["drift"]["strategy"]["matrix"]["stack"] == list(STACKS)
    assert "conclusion == 'success'" in found["dev"]["if"]
    assert "head.repo.full_name == github.repository" in found["preview"]["if"]
    for name, job in found.items():
        assert job["permissions"]["id-token"] == "write", name
        assert "secrets." not in yaml.safe_dump(job), f"{name}: AWS comes by OIDC"


def test_what_a_job_runs_is_made_before_pulumi_is_called() -> None:
    *_, made = yaml.safe_load(ACTION.read_text(encoding="utf-8"))["runs"]["steps"]

    assert made["run"].splitlines()[0] == "make package"
    for name, job in jobs("deploy").items():
        used = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
        assert used[:3] == ["actions/checkout", "./.github/actions/deployer", "pulumi/actions"], name


@pytest.mark.parametrize("workflow", [*WORKFLOWS, ACTION], ids=lambda path: path.stem)
def test_shell_is_shell(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    groups = [content["runs"]] if "runs" in content else [*content["jobs"].values()]
    for script in (step["run"] for group in groups for step in group["steps"] if "run" in step):
        checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), script


@pytest.mark.parametrize(
    ("differs", "open_already", "code", "created"), [(0, 0, 0, False), (1, 0, 1, True), (1, 1, 1, False)]
)
def test_drift_opens_one_issue(tmp_path: Path, differs: int, open_already: int, code: int, created: bool) -> None:
    """`pulumi preview --expect-no-changes` ends with an error where there is a change (Pulumi, "pulumi preview")."""
    scripts = {
        "pulumi": f'echo "$@" > {tmp_path}/asked; echo "~ 1 to update"; exit {differs}',
        "gh": f'[ "$2" = list ] && echo {open_already} && exit; echo "$@" > {tmp_path}/created; cat > {tmp_path}/body',
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    [script] = [step["run"] for step in jobs("deploy")["drift"]["steps"] if "run" in step]
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STACK": "prod"}

    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=variables, capture_output=True, check=False
    )

    assert done.returncode == code
    assert "--refresh --expect-no-changes" in (tmp_path / "asked").read_text()
    assert "--stack prod" in (tmp_path / "asked").read_text()
    assert (tmp_path / "created").exists() == created
    if created:
        assert "The stack prod is not what the program says" in (tmp_path / "created").read_text()
        assert (tmp_path / "body").read_text() == "```\n~ 1 to update\n```\n"
