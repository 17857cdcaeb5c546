"""What to do about an error of a store, by what the store says: each advice is right for every cause that says so."""

import re

FULL = "free space there and start again: what was begun is taken up where it stopped"
AGAIN = "see whether it can be reached, and try again"
WRITABLE = "make it writable, or name another root"
TOO_LONG = "no file or folder may have a name of more than 255 bytes: shorten the value that it is made of"
IN_THE_WAY = "something else has that name: move it away"
ENDPOINT = "see whether the endpoint (AWS_ENDPOINT_URL), the network and the proxies (HTTPS_PROXY, NO_PROXY) are right"
RESOLVE = "its host name does not resolve: look at AWS_ENDPOINT_URL, the region and the machine's DNS"
CREDENTIALS = "look at the AWS_* variables or the profile (AWS_PROFILE), renew the credentials, and start again"
CLOCK = "set this machine's clock, and start again"
CERTIFICATE = "name your company's certificates in AWS_CA_BUNDLE, or look at the endpoint's own"
BUCKET = "create the bucket, or name the right one"
REGION = "name the bucket's own region in AWS_REGION"

# What a store says, and the way out; `do` is what was tried. The first that is found counts: the surer ones first.
BY_STORE = {
    "No space left on device": FULL,
    "Disk quota exceeded": FULL,
    "507 Insufficient Storage": FULL,
    "File name too long": TOO_LONG,
    "os error 36": TOO_LONG,
    "KeyTooLong": TOO_LONG.replace("a name of more than 255 bytes", "a key of more than 1,024 bytes"),
    "Not a directory": IN_THE_WAY,
    "Is a directory": IN_THE_WAY,
    "Read-only file system": WRITABLE,
    "Operation not permitted": "give the job's user the right to {do} there",
    "Permission denied": "give the job's user the right to {do} there",
    "Too many open files": "raise the limit (ulimit -n) and start again",
    "Input/output error": "look at the disk and at the system's log",
    "Transport endpoint is not connected": "mount it again, and start again",
    "Stale file handle": "mount it again, and start again",
    "InvalidAccessKeyId": CREDENTIALS,
    "SignatureDoesNotMatch": CREDENTIALS,
    "ExpiredToken": CREDENTIALS,
    "InvalidToken": CREDENTIALS,
    "TokenRefreshRequired": CREDENTIALS,
    "RequestTimeTooSkewed": CLOCK,
    "NoSuchBucket": BUCKET,
    "PermanentRedirect": REGION,
    "AuthorizationHeaderMalformed": REGION,
    "AccessDenied": "give the job's role the right to {do} objects there",
    "403 Forbidden": "give the job's role the right to {do} objects there",
    "failed to lookup address": RESOLVE,
    "dns error": RESOLVE,
    "Name or service not known": RESOLVE,
    "UnknownHostException": RESOLVE,
    "certificate": CERTIFICATE,
    "PKIX path": CERTIFICATE,
    "Connection refused": ENDPOINT,
    "tunnel error": ENDPOINT,
    "unsuccessful tunnel": ENDPOINT,
}
# The same as Spark tells it, which some tables are written with. A bare AccessDenied may be any service's.
BY_SPARK = {
    **{said: way for said, way in BY_STORE.items() if said not in ("AccessDenied", "403 Forbidden", "certificate")},
    "java.nio.file.AccessDeniedException": BY_STORE["AccessDenied"],
    "InsufficientStorage": FULL,
    "Status Code: 507": FULL,
    "Unable to execute HTTP request": AGAIN,
}
_MKDIRS = "Mkdirs failed to create"
_FOLDER = re.compile(r"Mkdirs failed to create (?:file:)?(?P<path>/\S*)")
LONGEST_NAME = 255


def way_out(said: str, do: str, ways: dict[str, str]) -> str | None:
    """The advice for what was `said` when it was tried to `do` something; None where nothing is known of it."""
    if ways is BY_SPARK and _MKDIRS in said:
        return _of_folder(said)
    return next((way.format(do=do) for sign, way in ways.items() if sign in said), None)


def _of_folder(said: str) -> str:
    """Hadoop does not say why a folder cannot be made: it is no full disk, which makes folders all the same."""
    match = _FOLDER.search(said)
    if match is not None and any(len(name.encode()) > LONGEST_NAME for name in match["path"].split("/")):
        return TOO_LONG
    return WRITABLE
