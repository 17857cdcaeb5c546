"""Whichever variable names the Region: boto3 alone would read AWS_DEFAULT_REGION only, Java and EMR AWS_REGION."""

import os
from unittest.mock import patch

import boto3
import pytest

from local.duckdb_reader import s3_secret
from runtime.region import region, use_region
from tests.infra.regions import all_in, environment, regions


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_either_variable_leads_every_client(variable: str) -> None:
    with environment({variable: "eu-central-1"}):
        assert regions("eu-central-1") == all_in("eu-central-1")


def test_the_sql_command_reads_where_the_jobs_write() -> None:
    with environment({"AWS_REGION": "eu-central-1"}):
        assert "REGION 'eu-central-1'" in s3_secret("s3://lake", boto3.session.Session())


def test_a_job_that_says_its_region_overrules_what_it_finds() -> None:
    with environment({"AWS_DEFAULT_REGION": "us-west-2"}):
        use_region("eu-central-1")
        assert regions("eu-central-1") == all_in("eu-central-1")
        assert os.environ["AWS_REGION"] == os.environ["AWS_DEFAULT_REGION"] == "eu-central-1"


def test_where_nothing_names_a_region_there_is_none() -> None:
    with environment({}), patch.dict(os.environ, {"AWS_REGION": ""}):
        assert region() is None
