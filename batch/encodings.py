"""Bytes of any declared or marked encoding to UTF-8, piece by piece.

What is no character of the encoding stays a byte that is no UTF-8 either, so that only its own record is lost to it.
"""

import codecs
from collections.abc import Iterator

from batch.lines import BYTE_ORDER_MARK, UnreadableFileError, opened

# The longer marks first: that of UTF-32 starts with that of UTF-16.
MARKS = {
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
# What other kinds of files begin with, whatever their name says.
FOREIGN = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"PAR1\x15": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF-": "a PDF",
    b"SQLite format 3": "a SQLite database",
    b"BZh91AY&SY": "a bz2 archive",
}
HEAD = 64


def as_utf8(chunks: Iterator[bytes], declared: str | None = None) -> Iterator[bytes]:
    """The text in UTF-8 without byte order marks: a mark says the encoding, else `declared`, else how it begins.

    Text that begins with ASCII in UTF-16 without a mark is seen by its zeros. Raises UnreadableFileError for a file of
    another kind, and where text of two or four bytes a character ends within one.
    """
    head, whole = opened(chunks, lambda head: len(head) >= HEAD)
    for sign, kind in FOREIGN.items():
        if head.startswith(sign):
            raise UnreadableFileError(
                f"it is {kind}, whatever its name says: deliver it under its own suffix, or as text"
            )
    if head.startswith(BYTE_ORDER_MARK):
        return _without_marks(whole)
    marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    encoding = codecs.lookup(marked or declared or _seen(head) or "utf-8").name
    if encoding in ("utf-8", "ascii", "utf-8-sig"):
        return whole
    return _without_marks(_transcoded(whole, encoding))


def _without_marks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes behind all marks that they begin with: some tools put a second one before the first."""
    head, whole = opened(chunks, lambda head: not BYTE_ORDER_MARK.startswith(_unmarked(head)[:3]))
    if head:
        yield _unmarked(head)
        next(whole)
    yield from whole


def _unmarked(head: bytes) -> bytes:
    while head.startswith(BYTE_ORDER_MARK):
        head = head.removeprefix(BYTE_ORDER_MARK)
    return head


def _seen(head: bytes) -> str | None:
    """UTF-16 without a mark, by the zeros in each character of ASCII; None for anything else."""
    head = head[: len(head) // 2 * 2]
    if len(head) < 8:
        return None
    even, odd = head[::2], head[1::2]
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else None


def _transcoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", errors)
        yield decoder.decode(b"", final=True).encode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"it is not {encoding} to its end: {error.reason}") from error
