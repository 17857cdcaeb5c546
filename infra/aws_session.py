"""The AWS session that the stack's configuration asks for, for our own provider: the same account as pulumi-aws'."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3

# What pulumi-aws reads under `aws:` about who calls; endpoints and certificates come from the environment, for both.
KEYS = ("profile", "accessKey", "secretKey", "token", "assumeRoles")
SESSION = "pulumi"


def credentials_config(get: Callable[[str], str | None]) -> dict[str, str]:
    """The values of `aws:…` that say who calls; `get` answers a key, or None."""
    found = {key: get(f"aws:{key}") for key in KEYS}
    return {key: value for key, value in found.items() if value}


def session(config: Mapping[str, str], region: str | None) -> boto3.Session:
    """The session that pulumi-aws has by the same configuration: its profile or keys, then each role in turn.

    A new one for each call: boto3 lets no two threads share one.
    """
    found = boto3.Session(
        profile_name=config.get("profile"),
        aws_access_key_id=config.get("accessKey"),
        aws_secret_access_key=config.get("secretKey"),
        aws_session_token=config.get("token"),
        region_name=region,
    )
    for role in json.loads(config.get("assumeRoles", "[]")):
        found = _as(role, found, region)
    return found


def _as(role: Mapping[str, Any], caller: boto3.Session, region: str | None) -> boto3.Session:
    external = {"ExternalId": role["externalId"]} if role.get("externalId") else {}
    answer = caller.client("sts").assume_role(
        RoleArn=role["roleArn"], RoleSessionName=role.get("sessionName") or SESSION, **external
    )
    given = answer["Credentials"]
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=region,
    )
