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
    """But for `lakehouse/delta`, which is for nothing else, and DuckDB, which computes in `lakehouse/engine`."""
    forbidden = {"boto3", "botocore", "obstore", "delta", "deltalake", "duckdb"}
    allowed = {
        ("lakehouse/delta/", "deltalake"),
        ("lakehouse/delta/", "obstore"),
        ("lakehouse/delta/", "duckdb"),
        ("lakehouse/engine/", "duckdb"),
    }
    found = [
        each
        for each in wrong("lakehouse", forbidden)
        if not any(each.startswith(folder) and f" imports {library}" in each for folder, library in allowed)
    ]
    assert found == []
    assert wrong("lakehouse/delta", {"pyspark"}) == []


def test_no_module_has_an_empty_name() -> None:
    named = [
        str(file.relative_to(REPOSITORY))
        for folder in sorted(OURS)
        for file in files(folder)
        if EMPTY_NAMES & {file.stem, *file.relative_to(REPOSITORY).parts}
    ]
    assert named == []
