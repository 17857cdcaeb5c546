"""`python -m local.secret_scan` looks for secrets in every file of the repository that are not in `.secrets.baseline`.

The baseline lists what was looked at and is none: made-up keys in tests, names of settings. It compares hashes, not
lines, so that a line may move. `python -m local.secret_scan --accept` writes it anew: read its diff.
"""

import json
import subprocess
import sys
from pathlib import Path

from detect_secrets.core import baseline
from detect_secrets.core.scan import scan_file
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

from lakehouse.settings import CONTRACTS

ROOT = CONTRACTS.parent
BASELINE = ".secrets.baseline"
# Files that are nothing but checksums.
CHECKSUMS = r"(^|/)(uv\.lock|requirements\.txt|package-lock\.json|jars\.toml|\.secrets\.baseline)$"


def main() -> None:
    """Scans, says what it found on a line each, and ends the process with exit code 1 if that was anything."""
    files = _tracked(ROOT)
    if "--accept" in sys.argv[1:]:
        with transient_settings(settings()):
            baseline.save_to_file(scan(ROOT, files), str(ROOT / BASELINE))
        return
    found = unknown(ROOT, files)
    for line in found:
        print(line, file=sys.stderr)
    sys.exit(1 if found else 0)


def unknown(root: Path, files: list[str]) -> list[str]:
    """What looks like a secret and is not in the baseline, a message each; never the secret itself."""
    with transient_settings(settings()):
        known = baseline.load(json.loads((root / BASELINE).read_text(encoding="utf-8")), BASELINE)
        new = scan(root, files) - known
    return [
        f"{name}:{secret.line_number}: looks like a secret ({secret.type}): take it out and have it changed where it "
        "is valid; if it is none, `python -m local.secret_scan --accept`"
        for name, secret in new
    ]


def scan(root: Path, files: list[str]) -> SecretsCollection:
    """Everything in the files that looks like a secret."""
    found = SecretsCollection()
    for name in files:
        for secret in scan_file(str(root / name)):
            # Secrets are compared by their file too: the same in whatever folder the repository lies.
            secret.filename = name
            found[name].add(secret)
    return found


def settings() -> dict[str, object]:
    """All plugins of detect-secrets at their defaults, and the files that are left out."""
    plugins = [{"name": name} for name in PLUGINS]
    return {
        "plugins_used": plugins,
        "filters_used": [
            {"path": "detect_secrets.filters.regex.should_exclude_file", "pattern": [CHECKSUMS]},
            {"path": "detect_secrets.filters.heuristic.is_sequential_string"},
            {"path": "detect_secrets.filters.heuristic.is_potential_uuid"},
            {"path": "detect_secrets.filters.heuristic.is_templated_secret"},
            {"path": "detect_secrets.filters.heuristic.is_indirect_reference"},
            {"path": "detect_secrets.filters.heuristic.is_prefixed_with_dollar_sign"},
            {"path": "detect_secrets.filters.heuristic.is_not_alphanumeric_string"},
        ],
    }


PLUGINS = (
    "AWSKeyDetector AzureStorageKeyDetector BasicAuthDetector Base64HighEntropyString HexHighEntropyString "
    "GitHubTokenDetector GitLabTokenDetector JwtTokenDetector KeywordDetector NpmDetector PrivateKeyDetector "
    "PypiTokenDetector SlackDetector StripeDetector TwilioKeyDetector SendGridDetector"
).split()


def _tracked(root: Path) -> list[str]:
    """The files that git knows, and those that it would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    return sorted(name for name in listed.split("\0") if name and (root / name).is_file())


if __name__ == "__main__":
    main()
