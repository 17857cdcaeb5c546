"""The landing area as it is: which files lie there, and the bytes of one of them as they were planned.

Whoever may write here is not trusted. Names are only taken from listings, never put together, symbolic links are not
followed, and a name with control characters or `#` is spelled so that record ids stay unambiguous. That is why this
does not go through `runtime.storage`, whose listings stop at the first such name.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from batch.leftovers import is_leftover
from batch.lines import MEBIBYTE, UnreadableFileError
from lakehouse.errors import LakehouseError
from runtime.region import region

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Control characters, what separates path and line in a record id, the escape sign itself, and half surrogates, which
# stand for the bytes of a name that is no UTF-8.
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f#%\u2028\u2029\ud800-\udfff]")
_STAGED = re.compile(r"#\d+$")


def spelled(name: str) -> str:
    """A name as record ids and messages spell it: one line, no `#`, never two names alike."""
    return _ESCAPED.sub(lambda found: quote(found.group().encode("utf-8", "surrogatepass")), name)


class LandingAreaError(LakehouseError):
    """The landing area cannot be listed, or a file changed under the reader."""


@dataclass(frozen=True)
class LandingFile:
    """One file as a listing saw it: `path` below the landing address, `size` in bytes, UTC time of its last change.

    `etag` changes with the content: in S3 the entity tag, in a folder the time of the last change in nanoseconds.
    `delivered` is when it came here, which no tool that copies or unpacks files sets back; `digest` the hash of its
    bytes, where the etag changes without them.
    """

    path: str
    size: int
    etag: str
    modified: datetime
    delivered: datetime | None = None
    digest: str = ""

    @property
    def arrived_at(self) -> datetime:
        """When the file came; its time of change where that was not noted."""
        return self.delivered or self.modified

    @property
    def record_path(self) -> str:
        """The path as record ids and messages spell it: never two files alike, one line, no `#`."""
        return spelled(self.path)

    @property
    def version(self) -> str:
        """The version of the content, for people."""
        return f"{self.size} bytes of {self.modified:%Y-%m-%dT%H:%M:%SZ} (etag {self.etag})"

    def same_content(self, other: "LandingFile") -> bool:
        """Whether both are the same version of the file, by size and etag."""
        return (self.size, self.etag) == (other.size, other.etag)


class Listing(NamedTuple):
    """The files of a source by path, and how many others were passed over as hidden, unfinished or left by a tool."""

    files: list[LandingFile]
    passed_over: int


@dataclass(frozen=True)
class LandingArea:
    """The files below a folder or `s3://bucket/prefix`. It holds no connection, so it may be pickled into a task."""

    uri: str

    @classmethod
    def open(cls, uri: str) -> "LandingArea":
        """The landing area at an address; `s3a://` is taken for `s3://`. Raises LandingAreaError for any other."""
        uri = uri.strip().removeprefix("file://").rstrip("/")
        uri = "s3://" + uri.removeprefix("s3a://") if uri.startswith("s3a://") else uri
        if not uri or ("://" in uri and not uri.startswith("s3://")):
            raise LandingAreaError(f"landing {uri!r} is no landing area: give a folder or s3://bucket/prefix")
        return cls(uri if uri.startswith("s3://") else os.path.realpath(uri))

    @property
    def is_bucket(self) -> bool:
        """Whether the files are objects of S3."""
        return self.uri.startswith("s3://")

    def files(self, source: str) -> list[LandingFile]:
        """The files of `listing`."""
        return self.listing(source).files

    def listing(self, source: str) -> Listing:
        """All files below `<landing>/<source>/` by path, save those passed over; none without such a folder.

        Passed over is what has a name, or lies in a folder, that `batch.leftovers` knows. On a disk `<name>#<number>`
        is too: obstore writes there before it gives a file its name. Raises LandingAreaError where the landing area
        cannot be listed.
        """
        found = _bucket_files(self.uri, source) if self.is_bucket else _folder_files(self.uri, source)
        everything = list(found)
        files = sorted((file for file in everything if not is_leftover(file.path)), key=lambda file: file.path)
        return Listing(files, len(everything) - len(files))

    def digest(self, file: LandingFile) -> str:
        """The hash of the bytes that lie there now; empty in S3, whose etag is one, and for what is no file any more.

        Raises LandingAreaError for a file that may not be read.
        """
        if self.is_bucket:
            return ""
        return _digest(Path(self.uri) / file.path, file)

    def chunks(self, file: LandingFile) -> Iterator[bytes]:
        """The bytes of exactly this version of the file, in pieces of a megabyte.

        Raises UnreadableFileError, before the first piece, if the file is gone, is another version now, or is no
        regular file, and LandingAreaError if it changes under the reader.
        """
        if self.is_bucket:
            return _object_chunks(self.uri, file)
        return _file_chunks(Path(self.uri) / file.path, file)


def _changed(file: LandingFile, now: str) -> UnreadableFileError:
    return UnreadableFileError(
        f"the file changed after it was planned: {file.version} then, {now} now; deliver what it should hold under a "
        "new name"
    )


def _folder_files(landing: str, source: str) -> Iterator[LandingFile]:
    if not os.path.isdir(landing):
        raise LandingAreaError(f"landing {landing} is no folder: create it, or name the one where files arrive")
    folders = [source] if os.path.isdir(os.path.join(landing, source)) else []
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(landing, folder)))
        except OSError as error:
            raise LandingAreaError(f"landing folder {folder!r} cannot be listed: {error.strerror}") from error
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if _STAGED.search(entry.name):
                continue
            # A folder that is passed over is not looked into: it may be anybody's.
            if entry.is_dir(follow_symlinks=False) and not is_leftover(path):
                folders.append(path)
                continue
            try:
                yield _landing_file(path, entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue  # gone since it was listed: a producer renamed or removed it


def _landing_file(path: str, status: os.stat_result) -> LandingFile:
    modified, changed = (_EPOCH + timedelta(microseconds=ns // 1000) for ns in (status.st_mtime_ns, status.st_ctime_ns))
    return LandingFile(path, status.st_size, f"{status.st_mtime_ns:x}", modified, changed)


def _file_chunks(path: Path, file: LandingFile) -> Iterator[bytes]:
    with _opened(path, file) as stream:
        opened = _landing_file(file.path, os.fstat(stream.fileno()))
        if not opened.same_content(file):
            # Touched, it is the same file as long as its bytes are.
            if opened.size != file.size or not file.digest or _hash(stream) != file.digest:
                raise _changed(file, opened.version)
            stream.seek(0)
        while chunk := stream.read(MEBIBYTE):
            yield chunk
        found = _landing_file(file.path, os.fstat(stream.fileno()))
        if not found.same_content(opened):
            raise LandingAreaError(
                f"{file.record_path} changed while it was read: {opened.version}, now {found.version}: the next run "
                "reads it anew; files should be written elsewhere and moved here when they are whole"
            )


def _opened(path: Path, file: LandingFile) -> BinaryIO:
    """The file for reading. Raises UnreadableFileError for what is gone or no regular file."""
    try:
        # Not blocking, for a pipe would wait for its writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _changed(file, "no such file") from error
    except PermissionError as error:
        raise LandingAreaError(f"{file.record_path} may not be read: give the job's user the right to") from error
    except OSError as error:
        raise UnreadableFileError(f"not a regular file: {error.strerror}") from error
    stream = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise UnreadableFileError("not a regular file")
    return stream


def _digest(path: Path, file: LandingFile) -> str:
    try:
        with _opened(path, file) as stream:
            return _hash(stream)
    except UnreadableFileError:
        return ""  # whoever reads it tells why


def _hash(stream: BinaryIO) -> str:
    found = hashlib.blake2b(digest_size=16)
    while chunk := stream.read(MEBIBYTE):
        found.update(chunk)
    return found.hexdigest()


def _bucket_files(landing: str, source: str) -> Iterator[LandingFile]:
    bucket, prefix = _bucket_and_prefix(landing)
    pages = _client(os.getpid()).get_paginator("list_objects_v2")
    try:
        for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}{source}/"):
            for each in page.get("Contents", ()):
                path = each["Key"].removeprefix(prefix)
                # Consoles mark a folder by an empty object whose name ends with a slash.
                if each["Size"] or not path.endswith("/"):
                    modified = each["LastModified"].astimezone(UTC)
                    yield LandingFile(path, each["Size"], each["ETag"].strip('"'), modified)
    except (ClientError, BotoCoreError) as error:
        raise LandingAreaError(f"landing {landing}/{source} cannot be listed: {error}") from error


def _object_chunks(landing: str, file: LandingFile) -> Iterator[bytes]:
    bucket, prefix = _bucket_and_prefix(landing)
    try:
        found = _client(os.getpid()).get_object(Bucket=bucket, Key=prefix + file.path, IfMatch=f'"{file.etag}"')
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchKey", "404"):
            raise _changed(file, "no such object") from error
        if code in ("PreconditionFailed", "412"):
            raise _changed(file, "another entity tag") from error
        raise
    if found["ContentLength"] != file.size:
        raise _changed(file, f"{found['ContentLength']} bytes")
    yield from found["Body"].iter_chunks(MEBIBYTE)


def _bucket_and_prefix(uri: str) -> tuple[str, str]:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/" if prefix else ""


@lru_cache(maxsize=4)
def _client(process: int) -> "S3Client":
    """One client per process, hence `process` in the key: a connection does not survive a fork."""
    emulated = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    client: S3Client = boto3.session.Session().client(
        "s3",
        region_name=region() or "us-east-1",
        config=Config(
            s3={"addressing_style": "path" if emulated else "auto"}, retries={"mode": "standard", "max_attempts": 5}
        ),
    )
    return client
