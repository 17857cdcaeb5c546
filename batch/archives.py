"""What other packages than gz hold: bz2, and the files of a zip archive, each with bounded memory."""

import bz2
import fnmatch
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from batch.lines import MEBIBYTE, UnreadableFileError

# What operating systems and tools put into an archive beside what it is for.
_BESIDE = ("__MACOSX/", ".", "_")
ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def bunzipped(chunks: Iterator[bytes], allowed: int) -> Iterator[bytes]:
    """The content of a bz2 file. Raises UnreadableFileError for broken bytes, and for more than `allowed` of them."""
    total = 0
    stream = bz2.BZ2Decompressor()
    for chunk in chunks:
        rest = chunk
        while rest or not (stream.eof or stream.needs_input):
            if stream.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                stream = bz2.BZ2Decompressor()
            try:
                piece = stream.decompress(rest, MEBIBYTE)
            except OSError as error:
                raise UnreadableFileError(f"broken bz2: {error}") from error
            rest = stream.unused_data
            total += len(piece)
            if total > allowed:
                raise UnreadableFileError(f"it unpacks to more than {allowed} bytes")
            if piece:
                yield piece
    if not stream.eof:
        raise UnreadableFileError("broken bz2: cut short")


class Member:
    """One file of a zip archive: its name, the bytes that it unpacks to, whether it is the only one, its content."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, allowed: int, alone: bool) -> None:
        self.name = info.filename
        self.size = info.file_size
        self.alone = alone
        self._archive = archive
        self._info = info
        self._allowed = allowed

    def chunks(self) -> Iterator[bytes]:
        """The content. Raises UnreadableFileError for a password, a broken member, or too many bytes."""
        total = 0
        try:
            with self._archive.open(self._info) as stream:
                while piece := stream.read(MEBIBYTE):
                    total += len(piece)
                    if total > self._allowed:
                        raise UnreadableFileError(f"it unpacks to more than {self._allowed} bytes")
                    yield piece
        except ZIP_FAULTS as error:
            raise UnreadableFileError(f"broken zip member {self.name}: {error}") from error


def members(chunks: Iterator[bytes], pattern: str, allowed: int) -> Iterator[Member]:
    """The files of a zip archive that the pattern (`*.csv`) names, by name, save what tools leave in archives.

    A zip is read from its end, so the chunks are laid down in a temporary file first. Raises UnreadableFileError for
    bytes that are no zip, and for an archive without such a file.
    """
    with tempfile.TemporaryFile(prefix="lakehouse-zip-") as spool:
        for chunk in chunks:
            spool.write(chunk)
        spool.seek(0)
        with _opened(spool) as archive:
            # By name: of two files of one name the last one stands, as every tool unpacks them.
            found = {info.filename: info for info in archive.infolist() if _is_wanted(info, pattern)}
            if not found:
                raise UnreadableFileError(f"the zip archive holds no file that matches {pattern!r}")
            for name in sorted(found):
                yield Member(archive, found[name], allowed, len(found) == 1)


def _opened(spool: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(spool)
    except ZIP_FAULTS as error:
        raise UnreadableFileError(f"broken zip: {error}") from error


def _is_wanted(info: zipfile.ZipInfo, pattern: str) -> bool:
    name = info.filename
    if info.is_dir() or name.startswith(_BESIDE) or name.rpartition("/")[2].startswith(_BESIDE):
        return False
    return fnmatch.fnmatchcase(name, pattern)
