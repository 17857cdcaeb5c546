"""Who may import whom: lakehouse <- runtime <- streaming <- batch, infra and local on top; read from the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = {"lakehouse", "runtime", "streaming", "batch", "infra", "local", "bench", "tests"}
MAY_IMPORT = {
    "lakehouse": set[str](),
    "runtime": {"lakehouse"},
    "streaming": {"lakehouse", "runtime"},
    "batch": {"lakehouse", "runtime", "streaming"},
    "infra": {"lakehouse", "runtime"},
    "local": {"lakehouse", "runtime", "streaming", "batch", "infra"},
    "local/oracle": {"local"},
}
# The files of lakehouse that the infrastructure program reads, where there is no Spark.
WITHOUT_SPARK = ("contracts", "contract_model", "odcs", "policies", "settings", "layout", "glue_columns", "errors")
NEVER = {"infra": {"pyspark", "delta"}, "streaming": {"pulumi", "pulumi_aws"}, "batch": {"pulumi", "pulumi_aws"}}
# What the engine computes with; of Arrow neither files nor storage.
OF_THE_ENGINE = {"pyarrow", "pyarrow.compute", "duckdb", "re", "json", "math", "decimal", "datetime", "dataclasses"}
OF_THE_ENGINE |= {"bisect", "collections", "collections.abc", "enum", "functools", "itertools", "operator", "typing"}
# What a small batch goes through, from the records of a stream to gold.
ON_THE_WAY = (
    *("lakehouse/engine", "lakehouse/delta", "streaming/epoch_reader.py", "streaming/flow.py", "streaming/gold.py"),
    *("streaming/gold_fit.py", "streaming/gold_rows.py", "streaming/gold_sources.py", "streaming/handover.py"),
    *("streaming/redrive.py", "streaming/references.py", "streaming/silver.py", "streaming/silver_rows.py"),
    *("runtime/manifests.py", "runtime/tables.py", "runtime/upkeep.py"),
)
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common"}


def files(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """The full name of every module that the file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            yield str(node.module)


def wrong(folder: str, forbidden: set[str]) -> list[str]:
    return [
        f"{file.relative_to(REPOSITORY)} imports {module}"
        for file in files(folder)
        for module in imported(file)
        if module.partition(".")[0] in forbidden
    ]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_packages_import_only_what_lies_below_them(folder: str) -> None:
    assert files(folder)
    assert wrong(folder, OURS - MAY_IMPORT[folder] - {folder}) == []


@pytest.mark.parametrize("folder", NEVER)
def test_packages_keep_out_what_they_must_run_without(folder: str) -> None:
    assert wrong(folder, NEVER[folder]) == []


def test_the_oracle_knows_nothing_of_what_it_checks() -> None:
    foreign = [
        f"{file.name} imports {module}"
        for file in files("local/oracle")
        for module in imported(file)
        if module.partition(".")[0] in OURS and not module.startswith("local.oracle")
    ]
    assert foreign == []


@pytest.mark.parametrize("name", WITHOUT_SPARK)
def test_what_infrastructure_reads_needs_no_spark(name: str) -> None:
    """Neither the module nor what it imports of ours."""
    seen: set[str] = set()
    waiting = [f"lakehouse.{name}"]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        found = [*imported(REPOSITORY / f"{module.replace('.', '/')}.py")]
        assert [each for each in found if each.partition(".")[0] in ("pyspark", "delta")] == [], module
        waiting += [each for each in found if each.startswith("lakehouse.")]


def test_the_core_has_no_aws_and_no_storage() -> None:
    """But for `lakehouse/delta`, which is for nothing else, and DuckDB, which computes in `lakehouse/engine` and tries
    what contracts say in `lakehouse/expressions.py`.
    """
    forbidden = {"boto3", "botocore", "obstore", "delta", "deltalake", "duckdb"}
    allowed = {
        ("lakehouse/delta/", "deltalake"),
        ("lakehouse/delta/", "obstore"),
        ("lakehouse/delta/", "duckdb"),
        ("lakehouse/engine/", "duckdb"),
        ("lakehouse/expressions.py", "duckdb"),
    }
    found = [
        each
        for each in wrong("lakehouse", forbidden)
        if not any(each.startswith(folder) and f" imports {library}" in each for folder, library in allowed)
    ]
    assert found == []
    assert wrong("lakehouse/delta", {"pyspark"}) == []


def test_the_engine_computes_and_does_nothing_else() -> None:
    """No Spark, no storage, no clock: Arrow in, Arrow out."""
    foreign = {
        f"{file.name} imports {module}"
        for file in files("lakehouse/engine")
        for module in imported(file)
        if module not in OF_THE_ENGINE and not module.startswith("lakehouse")
    }
    assert foreign == set()
    assert wrong_parts("lakehouse/engine", "lakehouse.delta") == []
    clocks = [
        f"{file.name}:{node.lineno} asks for the time"
        for file in files("lakehouse/engine")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "today", "utcnow"}
    ]
    assert clocks == []


def test_the_tables_know_nothing_of_contracts_or_of_the_engine() -> None:
    ours = {module for file in files("lakehouse/delta") for module in imported(file) if module.startswith("lakehouse")}
    assert {module for module in ours if not module.startswith("lakehouse.delta")} <= {"lakehouse.errors"}


@pytest.mark.parametrize("part", ON_THE_WAY)
def test_no_spark_runs_for_a_small_batch(part: str) -> None:
    found = [REPOSITORY / part] if part.endswith(".py") else files(part)
    assert found
    spark = [f"{file.name} imports {module}" for file in found for module in imported(file) if is_spark(module)]
    assert spark == []


def is_spark(module: str) -> bool:
    return module.partition(".")[0] in {"pyspark", "delta", "py4j"}


def wrong_parts(folder: str, package: str) -> list[str]:
    """Imports of a package of ours, with all that is in it."""
    return [
        f"{file.relative_to(REPOSITORY)} imports {module}"
        for file in files(folder)
        for module in imported(file)
        if f"{module}.".startswith(f"{package}.")
    ]


def test_no_module_has_an_empty_name() -> None:
    named = [
        str(file.relative_to(REPOSITORY))
        for folder in sorted(OURS)
        for file in files(folder)
        if EMPTY_NAMES & {file.stem, *file.relative_to(REPOSITORY).parts}
    ]
    assert named == []
