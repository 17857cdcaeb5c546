"""The jars of the product: pinned in `jars.toml`, fetched once from Maven Central, verified, reused offline.

`python -m runtime.jars` fetches what is missing and says where it lies. No Maven, no Ivy and no Java is needed.
A proxy and certificates come from the usual variables (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR);
`LAKEHOUSE_MAVEN_MIRROR` names another repository with Maven's layout, such as `https://maven.example.org/central`.
"""

import hashlib
import http.client
import os
import re
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from lakehouse.errors import LakehouseError
from runtime.cache import cache_directory

MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
MIRROR_VARIABLE = "LAKEHOUSE_MAVEN_MIRROR"
PINNED = Path(__file__).with_name("jars.toml")
ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.5
TIMEOUT_SECONDS = 60
PARALLEL_DOWNLOADS = 8
HTTP_REQUEST_TIMEOUT, HTTP_TOO_MANY_REQUESTS, HTTP_SERVER_ERRORS = 408, 429, 500


class JarError(LakehouseError):
    """A pinned jar cannot be had, or is not the one that was pinned."""


@dataclass(frozen=True)
class Jar:
    """One pinned jar of a Maven repository."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """The jar as Maven names it: `group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        """The jar's file name, which is unique in the list."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def repository_path(self) -> str:
        """Where the jar lies under the address of a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"


def pinned_jars(path: Path = PINNED) -> list[Jar]:
    """The list of `jars.toml`, in its order.

    Raises JarError naming the entry that is no `"group:artifact:version" = "<sha256>"`, or the file name that two
    entries share.
    """
    jars = []
    for coordinates, sha256 in tomllib.loads(path.read_text(encoding="utf-8"))["jars"].items():
        parts = coordinates.split(":")
        if len(parts) != 3 or not all(parts) or not re.fullmatch(r"[0-9a-f]{64}", str(sha256)):
            raise JarError(f'{path}: {coordinates!r} = {sha256!r} is not "group:artifact:version" = "<sha256 in hex>"')
        group, artifact, version = parts
        jars.append(Jar(group, artifact, version, sha256))
    names = [jar.file_name for jar in jars]
    for name in names:
        if names.count(name) > 1:
            raise JarError(f"{path}: two entries have the file name {name}; keep one")
    return jars


def jar_paths() -> list[Path]:
    """The paths of all pinned jars, in the list's order; missing or damaged ones are fetched first.

    Files that are there are checked against their checksum too (26 MB: about 30 ms), so a broken disk or a hand that
    changed one shows here and not as a class that Spark cannot load. Needs no network when all are there.
    Raises JarError naming the jar, the address and what to do.
    """
    return fetch(pinned_jars(), cache_directory() / "jars")


def fetch(jars: Sequence[Jar], directory: Path) -> list[Path]:
    """Puts the jars that are missing in `directory`, several at once, and returns the paths of all of them.

    Raises JarError for the first jar that cannot be had; the ones that were complete by then stay.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JarError(
            f"the folder for jars {directory} cannot be made ({error}): set LAKEHOUSE_CACHE_DIRECTORY to one that can"
        ) from error
    missing = [jar for jar in jars if not _is_complete(directory / jar.file_name, jar.sha256)]
    downloads = ThreadPoolExecutor(PARALLEL_DOWNLOADS, thread_name_prefix="jars")
    try:
        for _ in downloads.map(lambda jar: _fetch_one(jar, directory), missing):
            pass
    finally:
        # After a failure or Ctrl-C the downloads that have not begun must not.
        downloads.shutdown(wait=True, cancel_futures=True)
    return [directory / jar.file_name for jar in jars]


def _is_complete(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _fetch_one(jar: Jar, directory: Path) -> None:
    """Downloads one jar beside its final place, verifies it and renames it, so that no reader sees half a jar."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip() or MAVEN_CENTRAL
    address = f"{mirror.rstrip('/')}/{jar.repository_path}"
    try:
        content = _download(address)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise JarError(
            f"{jar.coordinates} could not be fetched from {address} ({error}): check the network and HTTPS_PROXY, "
            f"or set {MIRROR_VARIABLE} to a mirror of Maven Central"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != jar.sha256:
        raise JarError(
            f"{address} has sha256 {found}, but {jar.sha256} is pinned in {PINNED.name}: the repository serves another "
            f"file; check {MIRROR_VARIABLE} and any proxy"
        )
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{jar.file_name}.", delete=False) as part:
            part.write(content)
        Path(part.name).chmod(0o644)
        Path(part.name).replace(directory / jar.file_name)
    except OSError as error:
        raise JarError(f"{directory / jar.file_name} cannot be written: {error}") from error


def _download(address: str) -> bytes:
    """The content at an address. Raises what the last of `ATTEMPTS` attempts raised."""
    for attempt in Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=FIRST_WAIT_SECONDS, jitter=FIRST_WAIT_SECONDS, max=10),
        retry=retry_if_exception(_may_pass),
        reraise=True,
    ):
        with attempt, urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read()
    return content


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: a missing file or a wrong certificate does not mend itself."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= HTTP_SERVER_ERRORS or error.code in (HTTP_REQUEST_TIMEOUT, HTTP_TOO_MANY_REQUESTS)
    return isinstance(error, (OSError, http.client.HTTPException))


def main() -> int:
    """Fetches the jars and says where they are; the exit code is 1 with one line when one cannot be had."""
    try:
        paths = jar_paths()
    except JarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    print(f"{len(paths)} jars, {megabytes:.0f} MB, verified in {paths[0].parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
