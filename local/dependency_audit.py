"""`python -m local.dependency_audit` asks pypi.org whether a vulnerability of any locked dependency is known.

Exit code 1 for a vulnerability, or a failure that is not the network's. Where the vulnerability service cannot be
reached (no network, or a mirror that has packages and nothing else) it says that nothing was audited. The exit code is
then 0 for a person and 1 in CI (`CI` is set): a green run says that somebody looked. LAKEHOUSE_AUDIT_OFFLINE overrules
that: `allow` is 0, anything else 1.

`--reachable` only says, with exit code 1, why the service cannot be reached.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from lakehouse.settings import CONTRACTS

REQUIREMENTS = CONTRACTS.parent / "requirements.txt"
SERVICE = "https://pypi.org/pypi/{name}/{version}/json"
ATTEMPTS = 3
SECONDS = 20


def main() -> None:
    """Audits requirements.txt and ends the process."""
    if sys.argv[1:] == ["--reachable"]:
        sys.exit(unreachable(REQUIREMENTS, SERVICE) or 0)
    sys.exit(audit(REQUIREMENTS, SERVICE))


def audit(requirements: Path, service: str = SERVICE) -> int:
    """The exit code for a file of pinned requirements: 0 for no known vulnerability, or for no service where that is
    allowed.
    """
    outage = unreachable(requirements, service)
    if outage:
        print(
            f"dependencies NOT audited: {outage}. Run `make audit` where pypi.org itself can be reached, "
            "before anything is released",
            file=sys.stderr,
        )
        return 0 if _offline_is_allowed() else 1
    # The requirements are pinned and complete, so nothing needs to be resolved or installed.
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"]
    return subprocess.run([*command, "--progress-spinner", "off"], check=False).returncode


def unreachable(requirements: Path, service: str = SERVICE) -> str | None:
    """Why the service knows nothing of a release that was just installed from its index; None when it answers.

    Raises ValueError when the file pins nothing.
    """
    pinned = re.search(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    if pinned is None:
        raise ValueError(f"{requirements} pins no release as name==version: run `make requirements`")
    address = service.format(name=pinned[1], version=pinned[2])
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(OSError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=0.5, max=5),
        ):
            with attempt, urlopen(address, timeout=SECONDS) as answer:
                known = b'"vulnerabilities"' in answer.read()
    except RetryError as error:
        return f"{address} {_fault(error.last_attempt.exception())}"
    return None if known else f"{address} says nothing of vulnerabilities"


def _offline_is_allowed() -> bool:
    told = os.environ.get("LAKEHOUSE_AUDIT_OFFLINE")
    return told == "allow" if told else not os.environ.get("CI")


def _fault(error: BaseException | None) -> str:
    match error:
        case HTTPError():
            return f"answers {error.code}"
        case URLError():
            return f"cannot be reached ({error.reason})"
        case _:
            return f"cannot be reached ({error})"


if __name__ == "__main__":
    main()
