"""The objects of one Delta table, in a folder or in S3: whole reads and writes, put-if-absent, and files to read in."""

import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import obstore
import pyarrow as pa
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store

from lakehouse.errors import LakehouseError

# A store in the network answers many requests at once as fast as one; a disk is as fast as the cores are.
REQUESTS_AT_ONCE, FILES_AT_ONCE = 16, 2
# Up to here a data file is fetched whole; of larger ones only what is read.
WHOLE_BYTES = 8 * 1024 * 1024
_REQUESTS = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="delta-requests")
_FILES = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="delta-files")


class TableStoreError(LakehouseError):
    """The store of a table did not do what it was asked for; the message names the object."""


class TableStore:
    """Objects by their keys below a table's address. Safe between threads."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """`options` are those of delta-rs (`storage_options`); credentials are looked for in `AWS_*` as it does."""
        self.uri = uri
        self.on_s3 = uri.startswith("s3://")
        self._options = dict(options or {})
        self._made: ObjectStore | None = None

    def read(self, key: str) -> bytes | None:
        """The object's bytes, or None if there is none."""
        if not self._may_exist():
            return None
        try:
            return bytes(obstore.get(self._store(), key).bytes())
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise self._failed(key, "read", error) from error

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """The object's bytes, or None if there is none."""
        if not self._may_exist():
            return None
        try:
            return int(obstore.head(self._store(), key)["size"])
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise self._failed(key, "read", error) from error

    def put(self, key: str, data: bytes | pa.Buffer) -> None:
        """Writes the object, over the one that may be there."""
        try:
            obstore.put(self._store(), key, bytes(data))
        except (BaseError, OSError) as error:
            raise self._failed(key, "written", error) from error

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Writes the object unless there is one; False says that there is another.

        A request that was sent again because its answer got lost finds its own object: that counts as written.
        """
        try:
            obstore.put(self._store(), key, data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return self.read(key) == data
        except (BaseError, OSError) as error:
            if self.read(key) == data:
                return True
            raise self._failed(key, "written", error) from error
        return True

    def listing(self, prefix: str, after: str | None = None) -> dict[str, int]:
        """Keys below the folder `prefix`, those after `after` only, with their sizes in bytes; sorted."""
        if not self._may_exist():
            return {}
        try:
            pages = obstore.list(self._store(), prefix, offset=after)
            found = {str(each["path"]): int(each["size"]) for page in pages for each in page}
        except (NotFoundError, FileNotFoundError):
            return {}
        except (BaseError, OSError) as error:
            raise self._failed(prefix, "listed", error) from error
        return dict(sorted(found.items()))

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; where one is not there that is fine."""
        for key in keys:
            try:
                obstore.delete(self._store(), key)
            except (NotFoundError, FileNotFoundError):
                continue
            except (BaseError, OSError) as error:
                raise self._failed(key, "deleted", error) from error

    def open(self, key: str, size: int) -> pa.NativeFile:
        """A data file of `size` bytes, to be read in from anywhere. Raises FileNotFoundError if there is none."""
        try:
            if not self.on_s3:
                return pa.memory_map(str(Path(self.uri) / key))
            if size <= WHOLE_BYTES:
                return pa.BufferReader(pa.py_buffer(obstore.get(self._store(), key).bytes()))
            return pa.PythonFile(_Ranges(self._store(), key, size), mode="r")
        except (NotFoundError, FileNotFoundError) as error:
            raise FileNotFoundError(f"{self.uri}/{key}") from error
        except (BaseError, OSError) as error:
            raise self._failed(key, "read", error) from error

    def each[I, O](self, do: Callable[[I], O], items: Iterable[I]) -> list[O]:
        """`do` for all items, many at once, results in order. `do` must not call this itself."""
        waiting = list(items)
        if len(waiting) < 2:
            return [do(item) for item in waiting]
        return list((_REQUESTS if self.on_s3 else _FILES).map(do, waiting))

    def _may_exist(self) -> bool:
        """False for a folder that is not there: opening a store would make it."""
        return self.on_s3 or self._made is not None or Path(self.uri).is_dir()

    def _store(self) -> ObjectStore:
        if self._made is None:
            self._made = self._new()
        return self._made

    def _new(self) -> ObjectStore:
        if self.on_s3:
            known = {name.lower(): value for name, value in self._options.items()}
            plain = known.pop("allow_http", known.pop("aws_allow_http", "false")).lower() == "true"
            return S3Store.from_url(self.uri, config=cast("Any", known), client_options={"allow_http": plain})
        if "://" in self.uri:
            raise LakehouseError(f"{self.uri!r}: only a folder or s3://bucket/prefix can hold a table")
        try:
            return LocalStore(Path(self.uri).absolute(), mkdir=True)
        except (BaseError, OSError) as error:
            raise self._failed("", "made", error) from error

    def _failed(self, key: str, done: str, error: Exception) -> TableStoreError:
        reason = str(error).partition("\n")[0].partition(": <?xml")[0] or type(error).__name__
        return TableStoreError(f"{self.uri}/{key} cannot be {done}: {reason}")


class _Ranges(io.RawIOBase):
    """An object that is read in parts, a request for each."""

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        self._store, self._key, self._size = store, key, size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._place + size, self._size)
        if end <= self._place:
            return b""
        found = bytes(obstore.get_range(self._store, self._key, start=self._place, end=end))
        self._place = end
        return found


def storage_options(uri: str, endpoint: str | None = None, region: str | None = None) -> dict[str, str]:
    """What delta-rs and `TableStore` need to reach `uri`; `endpoint` is an emulator's, None means AWS itself.

    Without credentials: those of the environment or of the machine's role are found by the libraries.
    """
    if not uri.startswith("s3://"):
        return {}
    options = {"aws_region": region} if region else {}
    if endpoint:
        options |= {
            "aws_endpoint": endpoint,
            "aws_allow_http": str(endpoint.startswith("http://")).lower(),
            "aws_virtual_hosted_style_request": "false",
        }
    return options
