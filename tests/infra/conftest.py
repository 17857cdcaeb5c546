"""A small package of the jobs' code, so that declaring the estate needs no `make package` first."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.package import MANIFEST, VARIABLE
from tests.infra.deployed import deployed, emulator_endpoint

__all__ = ["deployed", "emulator_endpoint"]

FILES = {
    "emr.py": b"emr",
    "glue.py": b"glue",
    "environment.tar.gz": b"environment",
    "environment.gluewheels.zip": b"wheels",
    "shopware_lakehouse-0-py3-none-any.whl": b"wheel",
    "a.jar": b"a",
    "b.jar": b"b",
}


def put_package(folder: Path) -> None:
    """Writes the package into a folder."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    (folder / MANIFEST).write_text(json.dumps(digests))


@pytest.fixture(scope="session", autouse=True)
def small_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Puts the package where `package` looks for it until the run ends."""
    folder = tmp_path_factory.mktemp("package")
    put_package(folder)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    yield
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before
