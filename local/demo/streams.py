"""Streams of a demo's own: what an earlier one left unread on a stream must not reach the next one's lake."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from lakehouse.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


def fresh_streams(kinesis: "KinesisClient", settings: Settings, prefix: str) -> Mapping[str, str]:
    """Names for the settings' streams that no stream has; removes the streams of earlier runs with this prefix."""
    for page in kinesis.get_paginator("list_streams").paginate():
        for name in page["StreamNames"]:
            if name.startswith(prefix):
                kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
    return {source: f"{prefix}{name}-{uuid4().hex[:8]}" for source, name in settings.streams.items()}
