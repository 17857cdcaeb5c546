"""A table that was put back to an older version is refused, whatever was written since, until nothing is missing."""

import json
from pathlib import Path

import pytest

from runtime.delta_log import Commit, DeltaLog
from runtime.lineage import Lineage
from runtime.restores import RestoredTableError, Restores

TABLE = "silver.validated_pos"
JOB = Lineage("silver", "validated_pos", 0, "1", "1").to_json()


class Log:
    """A Delta log that a test writes entry by entry."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "silver" / "validated_pos" / "_delta_log"
        self.folder.mkdir(parents=True)
        self.root, self.next = root, 0

    def add(self, *words: str) -> None:
        """`create`, `job`, `other`, `replace`, `restore 3`, `restore to a time` or `settled 3`, a commit each."""
        for each in words:
            word, _, rest = each.partition(" ")
            info: dict[str, object] = {"operation": "WRITE"}
            configuration = {}
            if word == "job":
                info["userMetadata"] = JOB
            elif word == "restore":
                version = rest if rest.isdecimal() else None
                info |= {"operation": "RESTORE", "operationParameters": {"version": version, "timestamp": None}}
            elif word == "settled":
                info["operation"] = "SET TBLPROPERTIES"
                configuration = {"metaData": {"configuration": {"lakehouse.settledRestores": rest}}}
            elif word in {"create", "replace"}:
                info["operation"] = {"create": "CREATE TABLE", "replace": "CREATE OR REPLACE TABLE AS SELECT"}[word]
            lines = [{"commitInfo": info}, *([configuration] if configuration else [])]
            (self.folder / f"{self.next:020}.json").write_text("\n".join(map(json.dumps, lines)))
            self.next += 1

    def watch(self) -> Restores:
        return Restores(DeltaLog(str(self.root), TABLE))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


FITS = {
    "no commit": [],
    "nothing but jobs": ["create", "job", "job"],
    "others write too": ["create", "job", "other", "job", "other"],
    "restored to where it was": ["create", "job", "other", "restore 1"],
    "brought back": ["create", "job", "job", "restore 1", "restore 2"],
    "brought back, and gone on": ["create", "job", "job", "restore 1", "restore 2", "job", "job"],
    "brought back by way of another": ["create", "job", "job", "restore 0", "restore 2", "restore 3", "restore 2"],
    "a batch that was late is kept, what it lacked is brought back": ["create", "job", "restore 0", "restore 1", "job"],
    "made anew": ["create", "job", "job", "restore 1", "replace", "job"],
    "settled by a person": ["create", "job", "job", "restore 1", "job", "other", "settled 5", "job"],
}
LACKS = {
    "restored": (["create", "job", "job", "restore 1"], 2),
    "restored to nothing": (["create", "job", "job", "restore 0", "other"], 2),
    "restored twice": (["create", "job", "job", "job", "restore 2", "restore 1"], 3),
    "brought back by half": (["create", "job", "job", "job", "restore 1", "restore 2"], 3),
    "restored to a time": (["create", "job", "job", "restore to a time"], 2),
    "restored behind the one that made it anew": (["create", "job", "replace", "restore 1"], 2),
    "restored after it was settled": (["create", "job", "restore 0", "settled 2", "job", "restore 3"], 4),
}
HOLES = {
    "a batch came after": ["create", "job", "job", "restore 1", "job"],
    "a batch came after, and others": ["create", "job", "job", "restore 1", "other", "job", "other"],
    "brought back without the batch that came after": ["create", "job", "job", "restore 1", "job", "restore 2"],
}


@pytest.mark.parametrize("words", FITS.values(), ids=FITS)
def test_a_table_that_holds_all_that_was_written_passes(log: Log, words: list[str]) -> None:
    log.add(*words)
    log.watch().refuse()


@pytest.mark.parametrize(("words", "newest"), LACKS.values(), ids=LACKS)
def test_a_table_that_lacks_what_was_written_is_refused_with_the_version_to_bring_back(
    log: Log, words: list[str], newest: int
) -> None:
    log.add(*words)
    told = rf"silver/validated_pos was restored to an older state, .* TO VERSION AS OF {newest} \(docs/operating\.md\)"
    with pytest.raises(RestoredTableError, match=told):
        log.watch().refuse()


@pytest.mark.parametrize("words", HOLES.values(), ids=HOLES)
def test_a_table_that_was_written_after_it_was_restored_is_refused_for_good(log: Log, words: list[str]) -> None:
    """No version of it has everything."""
    log.add(*words)
    told = (
        r"was restored to an older state, and written since: it lacks version 2\. .*\('lakehouse\.settledRestores' = "
    )
    if words[-1] == "restore 2":
        told = told.replace("version 2", "version 4")
    with pytest.raises(RestoredTableError, match=told):
        log.watch().refuse()


@pytest.mark.parametrize("between", [["restore 1"], ["restore 1", "job"], ["restore 1", "other", "job"]])
def test_a_running_job_sees_what_was_restored_since_it_looked_last(log: Log, between: list[str]) -> None:
    log.add("create", "job", "job")
    watch = log.watch()
    watch.refuse()
    watch.refuse()
    log.add(*between)
    for _ in range(2):
        with pytest.raises(RestoredTableError, match="was restored to an older state"):
            watch.refuse()


def test_a_running_job_goes_on_when_all_is_back(log: Log) -> None:
    log.add("create", "job", "job")
    watch = log.watch()
    watch.refuse()
    log.add("restore 1")
    with pytest.raises(RestoredTableError, match="TO VERSION AS OF 2 "):
        watch.refuse()
    log.add("restore 2", "job")
    watch.refuse()
    log.add("restore 5", "job")
    watch.refuse()


def test_a_look_at_an_unchanged_table_reads_one_entry_that_is_not_there(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add("create", *["job"] * 50)
    delta = DeltaLog(str(log.root), TABLE)
    watch = Restores(delta)
    watch.refuse()
    asked: list[int] = []
    read = DeltaLog._read

    def noted(of: DeltaLog, version: int) -> Commit | None:
        asked.append(version)
        return read(of, version)

    monkeypatch.setattr(DeltaLog, "_list", lambda _: pytest.fail("a listing for each batch"))
    monkeypatch.setattr(DeltaLog, "_read", noted)
    watch.refuse()
    assert asked == [51]
