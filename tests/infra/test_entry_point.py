"""What starts a job on EMR and Glue: under the right Python all that it needs is in the archive, under a wrong one it
says in one line what to set.

AWS, "Using Python libraries with EMR Serverless" and the release notes of emr-spark-8.0.0: a release starts its default
Python (3.11) unless PYSPARK_DRIVER_PYTHON and PYSPARK_PYTHON name another.
"""

import ast
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import py4j
import pyspark
import pytest

from infra.config import Compute
from infra.entry_point import entry_point
from infra.packaging import SCRIPTS, _environment, _requirements, _wheel
from tests.infra.recorded_program import ROOT, recorded
from tests.infra.test_compute import JOB, settings

MODULE, REMEDY = SCRIPTS["emr.py"]
EMR = entry_point(MODULE, "3.13", REMEDY)
# Everything of ours that a driver or an executor may import.
PACKAGES = ("lakehouse", "runtime", "streaming", "batch")
ALL = f"""
import pkgutil
for package in {PACKAGES}:
    for module in pkgutil.walk_packages(__import__(package).__path__, package + "."):
        __import__(module.name)
"""
# What Python 3.13 itself would find beside its own library is not on the machines of EMR: `-S` leaves it out.
BARE = "-S"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A worker's folder: the archive as EMR unpacks it, the entry point, the platform's Spark, and its python3.13."""
    folder = tmp_path_factory.mktemp("worker")
    archive = folder / "environment.tar.gz"
    _environment(folder / "build", _requirements(folder), _wheel(folder / "wheel"), archive, level=0)
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "environment", filter="data")
    (folder / "emr.py").write_text(EMR)
    for package in (pyspark, py4j):
        (folder / "platform").mkdir(exist_ok=True)
        (folder / "platform" / package.__name__).symlink_to(Path(str(package.__file__)).parent)
    (folder / "bin").mkdir()
    (folder / "bin" / "python3.13").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    return folder


def started(folder: Path, interpreter: str, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    """What the interpreter, found as on a worker, says to these arguments."""
    found = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "PYTHONPATH": path, "HOME": os.environ["HOME"]}
    command = [shutil.which(interpreter, path=found["PATH"]) or interpreter, *arguments]
    return subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, check=False)


def test_the_configured_interpreter_imports_all_from_the_archive(unpacked: Path) -> None:
    [job] = recorded("dev").of(JOB)
    told = settings(job)
    name = told["spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON"]
    path = f"{told['spark.emr-serverless.driverEnv.PYTHONPATH']}:./platform"

    imported = started(unpacked, name, BARE, "-c", ALL, path=path)
    done = started(unpacked, name, BARE, "emr.py", path=path)

    assert (imported.stderr, imported.returncode) == ("", 0)
    assert (done.returncode, done.stderr) == (
        2,
        "write one of bronze, silver, gold, all as the only argument, not []\n",
    )


def test_driver_and_executors_are_given_one_interpreter() -> None:
    other = "./environment/bin/python3.13"
    [job] = recorded("dev", compute={"python": other}).of(JOB)
    told = {name: value for name, value in settings(job).items() if "PYSPARK" in name}

    assert told == {
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": other,
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": other,
        "spark.executorEnv.PYSPARK_PYTHON": other,
    }
    assert settings(job)["spark.executorEnv.PYTHONPATH"] == "./environment"
    assert Compute().python == f"python{(ROOT / '.python-version').read_text().strip()}"


def others() -> Sequence[str]:
    """The other Pythons of this machine that start."""
    found = filter(None, (shutil.which(f"python3.{minor}") for minor in range(8, 16) if minor != sys.version_info[1]))
    return [
        each for each in found if subprocess.run([each, "--version"], capture_output=True, check=False).returncode == 0
    ]


def test_any_other_python_3_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "emr.py").write_text(EMR)
    pretending = "import sys; sys.version_info = (3, 11, 2); sys.executable = 'x'; exec(open('emr.py').read())"
    end = f"the packages of the job are for Python 3.13: {REMEDY}\n"

    ast.parse(EMR, feature_version=(3, 0))
    for python in others():
        done = subprocess.run([python, "emr.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.endswith(end), done.stderr.count("\n")) == (1, True, 1), done.stderr
    done = started(tmp_path, sys.executable, "-c", pretending, path="")
    assert (done.returncode, done.stderr) == (1, f"lakehouse: this is Python 3.11 (x), {end}")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_package_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    module, remedy = SCRIPTS[name]
    (tmp_path / name).write_text(entry_point(module, "3.13", remedy))

    done = started(tmp_path, sys.executable, BARE, name, path="")

    missing = f"cannot import its packages: No module named '{module.partition('.')[0]}': {remedy}\n"
    assert (done.returncode, done.stderr.endswith(missing), done.stderr.count("\n")) == (1, True, 1), done.stderr


def test_the_remedies_name_what_there_is() -> None:
    remedies: Mapping[str, str] = {name: remedy for name, (_, remedy) in SCRIPTS.items()}

    assert "`compute.python` in infra/config.py" in remedies["emr.py"]
    assert "python" in Compute.model_fields
    assert "GLUE in infra/batch.py" in remedies["glue.py"]
    assert '\nGLUE, PYTHON = "6.0", "3"\n' in (ROOT / "infra" / "batch.py").read_text()
