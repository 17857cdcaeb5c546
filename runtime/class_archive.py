"""Where the JVM's archive of loaded classes lies: with it Spark starts with a third less processor time.

It is a dynamic CDS archive (JEP 350), made once by `python -m local.class_archive`. A JVM that cannot use it, or finds
none, loads its classes from the jars as ever.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path

from runtime.cache import cache_directory
from runtime.java import java_home
from runtime.log_store import class_path

# Java warns of every class that it leaves out, and of an archive that it does not take.
QUIET = "-Xlog:disable -Xlog:all=error:stderr"


def class_archive() -> Path:
    """The archive for this Java, Spark and class path; it may not exist. Raises as `java_home` and `class_path`."""
    home = java_home()
    release = home / "release"
    parts = [str(home), release.read_text() if release.exists() else "", version("pyspark"), *map(str, class_path())]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return cache_directory() / f"classes-{digest}.jsa"
