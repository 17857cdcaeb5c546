"""Small objects beside the tables (ledgers, plans) and landing files, in a folder or in S3.

Delta tables are Spark's; this is for everything that needs put-if-absent or plain bytes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import boto3
import obstore
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store

from lakehouse.errors import LakehouseError
from runtime.region import region
from runtime.ways_out import AGAIN, BY_SPARK, BY_STORE, way_out

# What can be tried with an object, and how it is told that it failed.
_DONE = {"write": "written", "read": "read", "list": "listed", "delete": "deleted"}
LONGEST_LINE = 500
# How the libraries that read and write tables tell of a request to a store that failed.
REQUEST = "Error performing"


class StorageError(LakehouseError, BaseError):
    """The store did not do what it was asked for; the message names the object and says what to do."""


class UnwritableError(StorageError):
    """An object could not be written, and is as it was before."""


@dataclass(frozen=True)
class StoredObject:
    """What a listing tells of one object: `key` below the storage's address, `size` in bytes, UTC `modified`."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Storage:
    """Objects below one address: a folder, or `s3://bucket/prefix` with endpoint and credentials from `AWS_*`.

    It holds no connection, so it may be pickled into a task.
    """

    uri: str

    @classmethod
    def open(cls, uri: str) -> "Storage":
        """The storage at a folder or an `s3://` (or `s3a://`) address."""
        return cls("s3://" + uri.removeprefix("s3a://") if uri.startswith("s3a://") else uri)

    def exists(self, key: str) -> bool:
        """Whether there is such an object. Raises StorageError where the store does not answer."""
        try:
            obstore.head(_store(self.uri, os.getpid()), key)
        except (NotFoundError, FileNotFoundError):
            return False
        except (BaseError, OSError) as error:
            raise _failed("read", f"{self.uri}/{key}", error) from error
        return True

    def read(self, key: str) -> bytes | None:
        """The object's bytes, or None if there is none. Raises StorageError where the store does not answer."""
        try:
            return bytes(obstore.get(_store(self.uri, os.getpid()), key).bytes())
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise _failed("read", f"{self.uri}/{key}", error) from error

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Writes the object unless there is one; False says that there is, and leaves it as it is.

        Atomic between processes and machines (S3: `If-None-Match: *`; folder: a link made in one step). Raises
        UnwritableError where the store is full, read-only, refuses or does not answer.
        """
        try:
            obstore.put(_store(self.uri, os.getpid()), key, data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise _failed("write", f"{self.uri}/{key}", error) from error
        return True

    def put(self, key: str, data: bytes) -> None:
        """Writes the object, over the one that may be there. Raises UnwritableError as `put_if_absent` does."""
        try:
            obstore.put(_store(self.uri, os.getpid()), key, data)
        except (BaseError, OSError) as error:
            raise _failed("write", f"{self.uri}/{key}", error) from error

    def list(self, prefix: str = "") -> list[StoredObject]:
        """All objects whose key starts with the folder `prefix`, sorted by key. Raises StorageError as `read` does."""
        try:
            found = [
                StoredObject(meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'), meta["last_modified"])
                for page in obstore.list(_store(self.uri, os.getpid()), prefix or None)
                for meta in page
            ]
        except (BaseError, OSError) as error:
            raise _failed("list", f"{self.uri}/{prefix}", error) from error
        return sorted(found, key=lambda each: each.key)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes in pieces of some megabytes. Raises FileNotFoundError if there is none, else as `read`."""
        try:
            result = obstore.get(_store(self.uri, os.getpid()), key)
            for chunk in result.stream(min_chunk_size=4 * 1024 * 1024):
                yield bytes(chunk)
        except (NotFoundError, FileNotFoundError) as error:
            raise FileNotFoundError(f"{self.uri}/{key}") from error
        except (BaseError, OSError) as error:
            raise _failed("read", f"{self.uri}/{key}", error) from error

    def delete(self, key: str) -> None:
        """Removes the object; none there is fine. Raises StorageError as `read` does."""
        try:
            obstore.delete(_store(self.uri, os.getpid()), key)
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise _failed("delete", f"{self.uri}/{key}", error) from error


def told_by_store(said: str) -> str | None:
    """The line of what was `said`, with Spark a whole stack as a rule, that first tells of a store that is full,
    refuses or is gone, with what to do behind it. None where nothing tells of one.
    """
    for line in said.splitlines():
        of_table = REQUEST in line
        ways = BY_STORE if of_table else BY_SPARK
        advice = way_out(line, "read and write", ways) or (AGAIN if of_table else None)
        if advice is not None:
            told = line.strip().removeprefix(": ").removeprefix("Caused by: ")[:LONGEST_LINE]
            known = any((way_out(line, do, ways) or advice) in told for do in _DONE)
            return told if known else f"{told}: {advice}"
    return None


def _failed(do: str, address: str, error: BaseError | OSError) -> StorageError:
    """The error with the way out: its first line without the store's XML, for obstore's own debugging follows."""
    found = str(error)
    advice = way_out(found, do, BY_STORE) or AGAIN
    reason = found.partition("\n")[0].partition(": <?xml")[0] or type(error).__name__
    return (UnwritableError if do == "write" else StorageError)(f"{address} cannot be {_DONE[do]}: {reason}: {advice}")


@lru_cache(maxsize=64)
def _store(uri: str, process: int) -> ObjectStore:
    """One client per address and process: a client does not survive a fork, hence `process` in the key."""
    if not uri.startswith("s3://"):
        if "://" in uri:
            raise LakehouseError(f"{uri!r}: only a folder or s3://bucket/prefix can hold a lake")
        folder = Path(uri).absolute()
        try:
            return LocalStore(folder, mkdir=True)
        except (BaseError, OSError) as error:
            raise _failed("write", str(folder), error) from error
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    where = region() or "us-east-1"
    credentials = Boto3CredentialProvider(boto3.session.Session())
    if endpoint is None:
        return S3Store(bucket, prefix=prefix or None, region=where, credential_provider=credentials)
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=where,
        credential_provider=credentials,
        endpoint=endpoint,
        virtual_hosted_style_request=False,
        client_options={"allow_http": endpoint.startswith("http://")},
    )
