"""The AWS session that the stack's configuration asks for, for our own providers: the same account as pulumi-aws'."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

from lakehouse.errors import LakehouseError

# What pulumi-aws reads under `aws:` about who calls; endpoints and certificates come from the environment, for both.
KEYS = ("profile", "accessKey", "secretKey", "token", "assumeRoles", "assumeRoleWithWebIdentity",
        "sharedCredentialsFiles", "sharedConfigFiles")  # fmt: skip
# By pulumi-aws' name: where botocore looks for a file.
FILES = {"sharedCredentialsFiles": "credentials_file", "sharedConfigFiles": "config_file"}
# What a role may be taken with, by pulumi-aws' name and STS'.
WITH = {"externalId": "ExternalId", "policy": "Policy", "sourceIdentity": "SourceIdentity",
        "transitiveTagKeys": "TransitiveTagKeys"}  # fmt: skip
SECONDS = {"s": 1, "m": 60, "h": 3600}
SESSION = "pulumi"


class SessionError(LakehouseError):
    """The stack's configuration says who calls in a way that is not followed here; the message has the key."""


def credentials_config(get: Callable[[str], str | None]) -> dict[str, str]:
    """The values of `aws:…` that say who calls; `get` answers a key, or None."""
    found = {key: get(f"aws:{key}") for key in KEYS}
    return {key: value for key, value in found.items() if value}


def session(config: Mapping[str, str], region: str | None) -> boto3.Session:
    """The session that pulumi-aws has by the same configuration: 1 its profile, keys or files, or the chain of AWS'
    tools where it names none; 2 with a token of another identity provider a role for that; 3 then each role in turn.

    A new one for each call: boto3 lets no two threads share one. Raises SessionError for more than one file of a kind.
    """
    # 1
    core = botocore.session.Session(profile=config.get("profile"))
    for key, variable in FILES.items():
        files = json.loads(config.get(key, "[]"))
        if len(files) > 1:
            raise SessionError(f"aws:{key} names {len(files)} files: name one, the streaming jobs are started with it")
        if files:
            core.set_config_variable(variable, files[0])
    found = boto3.Session(
        aws_access_key_id=config.get("accessKey"),
        aws_secret_access_key=config.get("secretKey"),
        aws_session_token=config.get("token"),
        region_name=region,
        botocore_session=core,
    )
    # 2
    if identity := json.loads(config.get("assumeRoleWithWebIdentity", "null")):
        found = _by_token(identity, region)
    # 3
    for role in json.loads(config.get("assumeRoles", "[]")):
        found = _as(role, found, region)
    return found


def _by_token(identity: Mapping[str, Any], region: str | None) -> boto3.Session:
    """The session of a role that a token opens; nobody signs that call."""
    token = identity.get("webIdentityToken") or Path(identity["webIdentityTokenFile"]).read_text(encoding="utf-8")
    sts = boto3.Session(region_name=region).client("sts", config=Config(signature_version=UNSIGNED))
    answer = sts.assume_role_with_web_identity(
        RoleArn=identity["roleArn"],
        RoleSessionName=identity.get("sessionName") or SESSION,
        WebIdentityToken=token.strip(),
        **_limits(identity),
    )
    return _of(answer["Credentials"], region)


def _as(role: Mapping[str, Any], caller: boto3.Session, region: str | None) -> boto3.Session:
    more: dict[str, Any] = {theirs: role[ours] for ours, theirs in WITH.items() if role.get(ours)}
    if role.get("tags"):
        more["Tags"] = [{"Key": key, "Value": value} for key, value in role["tags"].items()]
    answer = caller.client("sts").assume_role(
        RoleArn=role["roleArn"], RoleSessionName=role.get("sessionName") or SESSION, **{**_limits(role), **more}
    )
    return _of(answer["Credentials"], region)


def _limits(role: Mapping[str, Any]) -> dict[str, Any]:
    """What a session may at most, and for how long (`1h30m`)."""
    found: dict[str, Any] = {}
    if role.get("policyArns"):
        found["PolicyArns"] = [{"arn": arn} for arn in role["policyArns"]]
    if role.get("policy"):
        found["Policy"] = role["policy"]
    if role.get("duration"):
        found["DurationSeconds"] = _seconds(role["duration"])
    return found


def _seconds(duration: str) -> int:
    total, digits = 0, ""
    for letter in duration:
        if letter in SECONDS:
            total, digits = total + int(digits) * SECONDS[letter], ""
        else:
            digits += letter
    return total


def _of(given: Mapping[str, Any], region: str | None) -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=region,
    )
