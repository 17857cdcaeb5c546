"""Our own providers call AWS as the stack's configuration says, in every way that pulumi-aws knows (its page "Provider
configuration"): the streaming jobs must not end in another account than the rest.
"""

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from moto import mock_aws

from infra.aws_session import SessionError, credentials_config, session
from tests.infra.recorded_program import ACCOUNT, REGION

# How the key of temporary credentials begins: with AWS, and where an emulator stands in for it.
TEMPORARY = ("ASIA", "LSIA")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/deployer"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[dict[str, str]]]:
    """What STS was asked, as parameters, and who signed it; on a machine where nobody is logged in."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "nobody"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "nothing"))
    found: list[dict[str, str]] = []

    def note(request: AWSPreparedRequest, **_: Any) -> None:
        body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
        signed = str(request.headers.get("Authorization", "")).partition("Credential=")[2].partition("/")[0]
        found.append({"signed by": signed, **dict(urllib.parse.parse_qsl(body))})

    original = boto3.Session.client

    def client(self: boto3.Session, service: str, **given: Any) -> Any:
        made = original(self, service, **given)  # type: ignore[call-overload]
        made.meta.events.register("before-send.sts", note)
        return made

    monkeypatch.setattr(boto3.Session, "client", client)
    # Without its own keys in the environment, which would be found first.
    with mock_aws(config={"core": {"mock_credentials": False}}):
        yield found


def caller(**configured: Any) -> str | None:
    """The key that calls, by values under `aws:` as the engine hands them over: structures as JSON."""
    texts = {
        f"aws:{name}": value if isinstance(value, str) else json.dumps(value) for name, value in configured.items()
    }
    keys = session(credentials_config(texts.get), REGION).get_credentials()
    return None if keys is None else keys.access_key


def credentials_file(folder: Path) -> Path:
    """A file with the keys of two profiles."""
    file = folder / "credentials"
    profiles = ("default", "people")
    file.write_text("".join(f"[{name}]\naws_access_key_id=of-{name}\naws_secret_access_key=s\n" for name in profiles))
    return file


def test_keys_profiles_and_files_of_the_configuration(asked: list[dict[str, str]], tmp_path: Path) -> None:
    files = [str(credentials_file(tmp_path))]

    assert caller(accessKey="of-keys", secretKey="s") == "of-keys"
    assert caller(sharedCredentialsFiles=files) == "of-default"
    assert caller(sharedCredentialsFiles=files, profile="people") == "of-people"
    assert asked == []


def test_more_than_one_file_is_refused(asked: list[dict[str, str]]) -> None:
    with pytest.raises(SessionError, match="aws:sharedConfigFiles names 2 files: name one"):
        caller(sharedConfigFiles=["a", "b"])


def test_a_token_opens_a_role_and_that_role_the_next(asked: list[dict[str, str]], tmp_path: Path) -> None:
    """As a deployment from GitHub comes: by OIDC, into a central account, and from there into the lake's."""
    token = tmp_path / "token"
    token.write_text("a.b.c\n")
    first = {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/ci", "webIdentityTokenFile": str(token), "duration": "1h30m"}
    second = {"roleArn": ROLE, "externalId": "of-us", "tags": {"team": "data"}, "transitiveTagKeys": ["team"]}

    assert caller(assumeRoleWithWebIdentity=first, assumeRoles=[second]) is not None

    by_token, by_role = asked
    assert (by_token["Action"], by_token["signed by"]) == ("AssumeRoleWithWebIdentity", "")
    assert (by_token["RoleArn"], by_token["WebIdentityToken"]) == (first["roleArn"], "a.b.c")
    assert by_token["DurationSeconds"] == "5400"
    assert (by_role["Action"], by_role["RoleArn"], by_role["ExternalId"]) == ("AssumeRole", ROLE, "of-us")
    assert (by_role["Tags.member.1.Key"], by_role["TransitiveTagKeys.member.1"]) == ("team", "team")
    assert by_role["signed by"].startswith(TEMPORARY)


def test_where_the_configuration_names_nobody_it_is_the_chain_of_aws_tools(
    asked: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Web identity by variables, as a pod of EKS has it: botocore follows it as pulumi-aws does."""
    token = tmp_path / "token"
    token.write_text("a.b.c")
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))

    found = caller()

    assert found is not None
    assert found.startswith(TEMPORARY)
