"""Which dialect a file is written in: of all that could be declared, what lets more of its lines pass.

A guess is a proposal to people, who know what their shop writes; nothing is taken in by it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from batch.readers import file_format
from batch.trial import Trial, tried
from lakehouse.contract_model import Contract
from lakehouse.dialect import FORMATS, Dialect

SAMPLE_RECORDS = 200
SAMPLE_BYTES = 1024 * 1024
DELIMITERS = (";", "\t", "|", ",")
NULL_WORDS = ("NULL", "null", "Null", "\\N", "NaN", "nan", "N/A", "n/a", "NA", "#N/A", "None", "none", "nil", "-", "?")
DAY_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y")
MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y")
DAYS = (*DAY_FIRST, *MONTH_FIRST, "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
CLOCKS = ("", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", "T%H:%M:%S", "%H%M%S", ", %H:%M:%S")


@dataclass(frozen=True)
class Guess:
    """The dialect that lets most lines of a sample pass, and what of it may be otherwise, in words."""

    dialect: Dialect
    doubts: tuple[str, ...] = ()


def guessed(path: str, content: bytes, contract: Contract) -> Guess:
    """The contract's dialect with whatever lets more lines pass, one step after the other until none does."""
    sample = content if file_format(path) is None else _sample(path, content)
    best = contract.dialect
    found = tried(path, sample, contract, best, SAMPLE_RECORDS)
    doubts: list[str] = []
    for step in (_formats, _structures, _aliases, _decimals, _times, _null_words):
        for candidate in step(path, sample, contract, best, found):
            trial = tried(path, sample, contract, candidate, SAMPLE_RECORDS)
            if trial.rank > found.rank:
                best, found = candidate, trial
    if best.time_formats and _either_way(path, sample, contract, best, found):
        doubts.append(f"times like {best.time_formats[0]} could have day and month the other way round: look at them")
    if best.zone is None and best.time_formats and "%z" not in best.time_formats[0]:
        doubts.append("times have no zone and count as UTC: declare times.zone if the tills' clocks show another")
    return Guess(best, tuple(doubts))


def _sample(path: str, content: bytes) -> bytes:
    """The beginning of a text that is not packed, up to a line's end; anything else whole."""
    found = file_format(path)
    if found is None or found.packing or found.kind != "csv" or len(content) <= SAMPLE_BYTES:
        return content
    return content[: content.rfind(b"\n", 0, SAMPLE_BYTES) + 1 or SAMPLE_BYTES]


def _formats(path: str, content: bytes, contract: Contract, best: Dialect, found: Trial) -> Iterator[Dialect]:
    if file_format(path) is None:
        yield from (replace(best, format=each) for each in FORMATS)
    if found.lines and best.records is None:
        yield from (replace(best, records=name) for name in _wrappers(content))


def _wrappers(content: bytes) -> list[str]:
    """The fields of the first object that hold arrays of objects."""
    try:
        first, _ = json.JSONDecoder().raw_decode(content[:SAMPLE_BYTES].decode("utf-8-sig", "replace").lstrip())
    except (ValueError, RecursionError):
        return []
    if not isinstance(first, dict):
        return []
    return [name for name, inner in first.items() if isinstance(inner, list) and inner and isinstance(inner[0], dict)]


def _structures(path: str, content: bytes, contract: Contract, best: Dialect, found: Trial) -> Iterator[Dialect]:
    names = tuple(column.name for column in contract.columns)
    encodings = [best.encoding]
    if best.encoding is None and not _is_utf8(content):
        encodings += ["cp1252", "utf-16-le", "utf-16-be"]
    for encoding in encodings:
        for delimiter in (best.delimiter, *DELIMITERS):
            spoken = replace(best, encoding=encoding, delimiter=delimiter)
            header = _first_line(content, spoken)
            if any(_letters(name) in map(_letters, names) for name in header):
                yield _with_aliases(header, contract, spoken)
            else:
                yield spoken
                yield replace(spoken, columns=names)


def _first_line(content: bytes, dialect: Dialect) -> list[str]:
    text = content[:SAMPLE_BYTES].decode(dialect.encoding or "utf-8", "replace").lstrip("\ufeff\r\n")
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return [name.strip(' "') for name in first.split(dialect.delimiter or ",")]


def _with_aliases(names: Sequence[str], contract: Contract, dialect: Dialect) -> Dialect:
    """The dialect in which names are fields that differ from them in case, blanks and signs between words alone."""
    fields = {_letters(column.name): column.name for column in contract.columns}
    known = {name.casefold() for name, _ in dialect.aliases} | {column.name.casefold() for column in contract.columns}
    more = [
        (name, fields[_letters(name)]) for name in names if _letters(name) in fields and name.casefold() not in known
    ]
    return replace(dialect, aliases=(*dialect.aliases, *more))


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.start > len(content) - 4
    return True


def _aliases(path: str, content: bytes, contract: Contract, best: Dialect, found: Trial) -> Iterator[Dialect]:
    yield _with_aliases(found.undeclared, contract, best)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _decimals(path: str, content: bytes, contract: Contract, best: Dialect, found: Trial) -> Iterator[Dialect]:
    yield replace(best, decimal=",")


def _times(path: str, content: bytes, contract: Contract, best: Dialect, found: Trial) -> Iterator[Dialect]:
    yield replace(best, truncate=True)
    for texts in _refused_times(contract, found):
        for day in DAYS:
            for clock in CLOCKS:
                if any(_is_like(text, day + clock) for text in texts):
                    yield replace(best, time_formats=(*best.time_formats, day + clock))


def _refused_times(contract: Contract, found: Trial) -> list[tuple[str, ...]]:
    columns = [column.name for column in contract.columns if column.type in ("timestamp", "date")]
    return [found.refused_texts[name] for name in columns if name in found.refused_texts]


def _is_like(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text.strip(), pattern)
    except ValueError:
        return False
    return True


def _either_way(path: str, content: bytes, contract: Contract, best: Dialect, found: Trial) -> bool:
    """Whether the same lines pass with day and month exchanged."""
    swapped = tuple(each.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m") for each in best.time_formats)
    other = tried(path, content, contract, replace(best, time_formats=swapped), SAMPLE_RECORDS)
    return swapped != best.time_formats and other.rank >= found.rank


def _null_words(path: str, content: bytes, contract: Contract, best: Dialect, found: Trial) -> Iterator[Dialect]:
    """Words that stand where a number or a time may be missing."""
    optional = {column.name for column in contract.columns if not column.required}
    words = {text for name in optional for text in found.refused_texts.get(name, ()) if text in NULL_WORDS}
    if words - set(best.null_words):
        yield replace(best, null_words=(*best.null_words, *sorted(words - set(best.null_words))))
