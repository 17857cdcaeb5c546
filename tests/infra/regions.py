"""Where the clients of a job go, when nothing but a given environment says so."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import boto3
from moto import mock_aws

from batch import landing_area
from runtime import metrics, storage
from streaming import kinesis_client

# A role's credentials come to a job by themselves, a profile does not.
ROLE = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull}  # fmt: skip
NAMESPACE = "Lakehouse/regions"


@contextmanager
def environment(declared: Mapping[str, str]) -> Iterator[None]:
    """This process's environment is what a job declares and its role, and no client is kept from before."""
    with patch.dict(os.environ, {**declared, **ROLE}, clear=True):
        _forget()
        yield
        _forget()


def regions(expected: str) -> dict[str, str | None]:
    """The Region of each client that a job makes; of the metrics it is `expected` where they arrived there."""
    store: Any = storage._store("s3://lake/regions", os.getpid())
    landing = landing_area._client(os.getpid())
    kinesis = kinesis_client.connect(None, None)
    with mock_aws():
        metrics._put(NAMESPACE, [{"MetricName": "FreshnessSeconds", "Value": 1.0}])
        listed = boto3.client("cloudwatch", region_name=expected).list_metrics(Namespace=NAMESPACE)["Metrics"]
    return {
        "store": store.config["region"],
        "landing": landing.meta.region_name,
        "kinesis": kinesis.meta.region_name,
        "metrics": expected if listed else None,
    }


def all_in(region: str) -> dict[str, str | None]:
    """What `regions` gives where every client is led to this Region."""
    return dict.fromkeys(("store", "landing", "kinesis", "metrics"), region)


def _forget() -> None:
    for kept in (storage._store, landing_area._client, kinesis_client._connect):
        kept.cache_clear()
