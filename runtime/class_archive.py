"""Where the JVM's archive of loaded classes lies: with it Spark starts with a third less processor time.

It is a dynamic CDS archive (JEP 350), made once by `python -m local.class_archive`. A JVM that cannot use it, or finds
none, loads its classes from the jars as ever.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path

from runtime.cache import cache_directory
from runtime.jars import jar_paths
from runtime.java import java_home

# Java warns of every class that it leaves out, and of an archive that it does not take.
QUIET = "-Xlog:disable -Xlog:all=error:stderr"


def class_archive() -> Path:
    """The archive for this Java, this Spark and these jars; it may not exist. Raises as `java_home` and `jar_paths`."""
    home = java_home()
    release = home / "release"
    parts = [str(home), release.read_text() if release.exists() else "", version("pyspark"), *map(str, jar_paths())]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return cache_directory() / f"classes-{digest}.jsa"
