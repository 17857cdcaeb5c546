"""The real Pulumi engine on the real program, through the Automation API, in a folder and a backend of the test's own.

`pulumi` and `pulumi-resource-aws` are those on PATH.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation
from pulumi.automation import events

from tests.infra.recorded_program import PROJECT, ROOT, declaration

TOOLS = ("pulumi", "pulumi-resource-aws")
HOW = (
    "the real engine did not run: {missing} not on PATH. Install Pulumi (https://www.pulumi.com/docs/install/), "
    "`pulumi plugin install resource aws`, put the plugin's folder on PATH, and run `make test ARGS=tests/infra`"
)
# Where the plugin comes from is no fault of the program.
FROM_PATH = "from $PATH at"
# Calls to an emulator that fail would be tried again for minutes.
PROVIDER = {
    "aws:s3UsePathStyle": "true",
    "aws:maxRetries": "3",
    "aws:skipCredentialsValidation": "true",
}
# The engine's own, which it does not count among the resources either.
PROVIDERS = "pulumi:providers:"
REGION = "eu-central-1"
AT_ONCE = 64


def absent() -> str | None:
    """Why the engine cannot run here, and what would mend it; None when it can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return HOW.format(missing=" and ".join(missing)) if missing else None


def credentials(endpoint: str) -> dict[str, str]:
    """What leads AWS clients to the emulator."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


DROPPED = ("use of closed network connection", "connection reset by peer", "EOF")


@dataclass
class Run:
    """What one operation proposed or did: resources by their operation, with the properties that differ, and what it
    complained of.
    """

    operations: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    differences: dict[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def heard(self, event: events.EngineEvent) -> None:
        """Takes in one event of the engine."""
        if event.resource_pre_event is not None:
            step = event.resource_pre_event.metadata
            name = label(step.urn)
            if name.startswith(PROVIDERS):
                return
            # An import that the program then changes comes as two steps, a replacement as three: kept is what says so.
            if step.op != "same" and self.operations.get(name) != "import":
                self.operations[name] = "replace" if "replace" in step.op else str(step.op.value)
                self.differences[name] = tuple(sorted(step.diffs or ())) or self.differences.get(name, ())
            if step.new is not None:
                self.inputs[name] = step.new.inputs or {}
        if event.diagnostic_event is not None and FROM_PATH not in event.diagnostic_event.message:
            message = event.diagnostic_event.message.strip()
            if event.diagnostic_event.severity == "warning":
                self.warnings.append(message)
            elif event.diagnostic_event.severity == "error":
                self.errors.append(message)


def label(urn: str) -> str:
    """A resource's type and name, without the stack and the parents that its URN spells out."""
    *_, types, name = urn.split("::")
    return f"{types.rpartition('$')[2]} {name}"


class Engine:
    """One stack of the program. Every operation answers with a `Run`; one that fails raises CommandError."""

    def __init__(self, stack: str, endpoint: str, folder: Path, overrides: Mapping[str, str] | None = None) -> None:
        backend = folder / "backend"
        backend.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **credentials(endpoint),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        self.declare: Callable[[], None] = declaration()
        self._stack = automation.create_or_select_stack(
            stack,
            PROJECT,
            lambda: self.declare(),
            opts=automation.LocalWorkspaceOptions(env_vars=self.environment, work_dir=str(_workspace(stack, folder))),
        )
        self.configure({"aws:region": REGION, **PROVIDER, **(overrides or {})})

    def configure(self, settings: Mapping[str, str]) -> None:
        """Sets values of the stack's configuration."""
        for key, value in settings.items():
            self._stack.set_config(key, automation.ConfigValue(value), path=key.startswith(PROJECT))

    def preview(self) -> Run:
        """What an update would do."""
        run = Run()
        self._stack.preview(on_event=run.heard, parallel=AT_ONCE)
        return run

    def up(self) -> Run:
        """Makes it so. Where the emulator dropped a connection it goes on once, as a person would."""
        run = Run()
        try:
            self._stack.up(on_event=run.heard, parallel=AT_ONCE)
        except automation.CommandError as error:
            if not any(dropped in str(error) for dropped in DROPPED):
                raise
            print("the emulator dropped a connection: up once more")
            again = Run(run.operations, run.inputs, run.differences, run.warnings)
            self._stack.up(on_event=again.heard, parallel=AT_ONCE)
            return again
        return run

    def refresh(self) -> Run:
        """Looks at what there is."""
        run = Run()
        self._stack.refresh(on_event=run.heard, parallel=AT_ONCE)
        return run

    def destroy(self) -> Run:
        """Removes all but what the program keeps."""
        run = Run()
        self._stack.destroy(on_event=run.heard, parallel=AT_ONCE)
        return run

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return {name: output.value for name, output in self._stack.outputs().items()}


def _workspace(stack: str, folder: Path) -> Path:
    """A folder with the project and the committed configuration, so that the test writes into none of ours."""
    workspace = folder / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    # With the keys and defaults that the real project declares.
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    project = {"name": PROJECT, "runtime": "python", "config": declared["config"]}
    (workspace / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    shutil.copy(ROOT / f"Pulumi.{stack}.yaml", workspace)
    return workspace
