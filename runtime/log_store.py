"""The log store of Delta that keeps several drivers from overwriting each other's commits on S3, as a jar.

Its Java (`S3ConditionalLogStore.java`) is compiled once, by the compiler that is inside Spark: no JDK is needed.
`python -m runtime.log_store` makes the jar and says where it lies.
"""

import hashlib
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from lakehouse.errors import LakehouseError
from runtime.cache import cache_directory
from runtime.jars import jar_paths
from runtime.java import java_home

SOURCE = Path(__file__).with_name("S3ConditionalLogStore.java")
CLASS = "shopware.lakehouse.S3ConditionalLogStore"
# 1980-01-01: the first moment that a zip can hold; the same source gives the same bytes.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class LogStoreError(LakehouseError):
    """The log store could not be compiled, or its jar not be written."""


def log_store_settings() -> dict[str, str]:
    """Spark's settings that make Delta commit through it, under either name of S3."""
    return {f"spark.delta.logStore.{scheme}.impl": CLASS for scheme in ("s3", "s3a")}


def class_path() -> list[Path]:
    """All that Spark needs beside its own jars: the pinned jars and the log store. Raises as `log_store_jar`."""
    return [*jar_paths(), log_store_jar()]


def log_store_jar() -> Path:
    """The jar for this source, this Spark and these jars; it is made first where it is missing.

    Raises LogStoreError with what the compiler says, and as `java_home` and `jar_paths`.
    """
    pinned = jar_paths()
    parts = [SOURCE.read_text(encoding="utf-8"), version("pyspark"), *(jar.name for jar in pinned)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    jar = cache_directory() / f"log-store-{digest}.jar"
    if not jar.is_file():
        with tempfile.TemporaryDirectory(prefix="log-store-") as folder:
            _write(jar, _compiled(pinned, Path(folder)))
    return jar


def _compiled(pinned: list[Path], folder: Path) -> Mapping[str, bytes]:
    """The class files by their names in a jar."""
    # Here, not above: the estate's program only asks for the settings, and has no Spark.
    import pyspark
    from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
    from py4j.protocol import Py4JError

    spark = sorted((Path(pyspark.__file__).parent / "jars").glob("*.jar"))
    [bridge] = [jar for jar in spark if jar.name.startswith("py4j-")]
    port = launch_gateway(
        jarpath=str(bridge),
        classpath=os.pathsep.join(map(str, [*spark, *pinned])),
        java_path=str(java_home() / "bin" / "java"),
        die_on_exit=True,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        file = gateway.jvm.java.io.File
        sources = gateway.new_array(file, 1)
        sources[0] = file(str(SOURCE))
        compiler = gateway.jvm.org.codehaus.janino.Compiler()
        compiler.setDestinationDirectory(file(str(folder)), False)
        compiler.compile(sources)
    except Py4JError as error:
        raise LogStoreError(f"{SOURCE} could not be compiled: {str(error).splitlines()[1:2] or error}") from error
    finally:
        gateway.shutdown()
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.class"))}


def _write(jar: Path, classes: Mapping[str, bytes]) -> None:
    """Beside its place first: another process may look for the same jar, and sees it whole or not at all."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name, code in classes.items():
            zipped.writestr(zipfile.ZipInfo(name, ZIP_TIME), code)
    try:
        jar.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=jar.parent, prefix=f".{jar.name}.", delete=False) as part:
            part.write(content.getvalue())
        Path(part.name).chmod(0o644)
        Path(part.name).replace(jar)
    except OSError as error:
        raise LogStoreError(f"{jar} cannot be written: {error}") from error


def main() -> int:
    """Makes the jar and says where it is; the exit code is 1 with one line when it cannot be had."""
    try:
        jar = log_store_jar()
    except LakehouseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"log store in {jar}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
