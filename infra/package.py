"""The jobs' code as objects in the artifacts bucket, named by what is in them: a job changes when its code does."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws

from infra.estate import Estate
from infra.storage import Storage
from lakehouse.errors import LakehouseError

VARIABLE = "LAKEHOUSE_PACKAGE"
DEFAULT = Path(__file__).resolve().parent.parent / "dist" / "package"
# Glue tells a zip of wheels by this ending.
GLUE_WHEELS = ".gluewheels.zip"
MANIFEST = "manifest.json"


class PackageError(LakehouseError):
    """What `make package` makes is not there, or damaged."""


@dataclass(frozen=True)
class Code:
    """Where the jobs' code lies, as `s3://` addresses; `digest` names this version of it.

    `entry_point` starts a streaming job on EMR, `glue_script` a batch job on Glue. `environment` is an archive with
    everything that they import, our own code among it; `glue_wheels` holds the same as Glue installs it.
    """

    entry_point: pulumi.Output[str]
    glue_script: pulumi.Output[str]
    environment: pulumi.Output[str]
    glue_wheels: pulumi.Output[str]
    jars: pulumi.Output[str]
    digest: str


def package(estate: Estate, storage: Storage) -> Code:
    """Puts what `make package` made into the artifacts bucket, as `<sha256>/<file>`; old versions stay, for a rollback.

    Raises PackageError when it was not made, or is not what its manifest says.
    """
    folder = Path(os.environ.get(VARIABLE) or DEFAULT)
    files = _manifest(folder)
    placed = {name: _object(estate, storage, folder / name, digest) for name, digest in files.items()}

    def one(suffix: str) -> pulumi.Output[str]:
        found = [name for name in files if name.endswith(suffix)]
        if len(found) != 1:
            raise PackageError(f"{folder} has {len(found)} files *{suffix}, not one: run `make package` again")
        return placed[found[0]]

    jars = [placed[name] for name in sorted(files) if name.endswith(".jar")]
    together = hashlib.sha256("".join(f"{name}{files[name]}" for name in sorted(files)).encode()).hexdigest()[:16]
    return Code(
        entry_point=one("emr.py"),
        glue_script=one("glue.py"),
        environment=one("environment.tar.gz"),
        glue_wheels=one(GLUE_WHEELS),
        jars=pulumi.Output.all(*jars).apply(",".join),
        digest=together,
    )


def _manifest(folder: Path) -> Mapping[str, str]:
    """File names with the SHA-256 of their content."""
    file = folder / MANIFEST
    if not file.exists():
        raise PackageError(f"{file} is not there: run `make package` first")
    files: Mapping[str, str] = json.loads(file.read_text(encoding="utf-8"))
    for name, digest in files.items():
        content = (folder / name).read_bytes() if (folder / name).exists() else b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise PackageError(f"{folder / name} is not what {MANIFEST} says: run `make package` again")
    return files


def _object(estate: Estate, storage: Storage, file: Path, digest: str) -> pulumi.Output[str]:
    placed = aws.s3.BucketObjectv2(
        f"code-{file.name}",
        bucket=storage.artifacts.resource.id,
        key=f"{digest}/{file.name}",
        source=pulumi.FileAsset(str(file)),
        source_hash=digest,
        # A running job still reads the version before.
        opts=pulumi.ResourceOptions(parent=storage, retain_on_delete=not estate.config.data_may_go),
    )
    return pulumi.Output.concat(storage.artifacts.uri, "/", placed.key)
