"""Configuration: a wrong value is refused before anything is touched, and every switch leaves a whole program."""

import json
from typing import Any

import pulumi
import pytest
import yaml

from infra import configuration_page
from infra.config import KEY_PREFIX, ConfigurationError, EstateConfig, Streams, Switches, load
from infra.estimate import configuration
from tests.infra.policy_rules import RULES
from tests.infra.recorded_program import PROJECT, STACKS, Recorder, declaration, recorded, stack_configuration


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("environment", "Dev!", "shopware-lakehouse:environment = 'Dev!': String should match pattern"),
        ("region", "frankfurt", "shopware-lakehouse:region = 'frankfurt': String should match pattern"),
        ("availability_zones", "0", ":availability_zones = '0': Input should be greater than or equal to 1"),
        ("team_principals", '{"slaes": []}', ".slaes: no contract names such a team; there are finance, sales"),
        ("team_regions", '{"sales": ["a\' or 1=1"]}', ":team_regions.sales.0 = \"a' or 1=1\": String should match"),
        ("team_groups", '{"sales": ["everybody"]}', ":team_groups.sales.0 = 'everybody': String should match pattern"),
        ("team_groups", '{"sales": ["3f0e2c1a-aaaa-bbbb-cccc-0123456789ab"]}', "team_groups needs identity_center"),
        ("alarm_emails", '["nobody"]', "shopware-lakehouse:alarm_emails.0 = 'nobody': String should match pattern"),
        ("administrators", '["me"]', "shopware-lakehouse:administrators.0 = 'me': String should match pattern"),
        ("team_principals", '{"sales": ["x"]}', "shopware-lakehouse:team_principals.sales.0 = 'x'"),
        ("streams", '{"shards": 501}', ":streams.shards = 501: Input should be less than or equal to 500"),
        ("streams", '{"shard": 2}', ":streams.shard = 2: Extra inputs are not permitted"),
        ("compute", '{"driver_cores": 3}', ":compute.driver_cores = 3: Input should be 1, 2, 4, 8 or 16"),
        ("retention", '{"time_travel": 6}', "retention.time_travel = 6: Input should be greater than or equal to 7"),
        ("retention", '{"logs": 8}', ":retention.logs = 8: Input should be 7, 14, 30, 60, 90, 180 or 365"),
        ("switches", '{"emr": false}', "switches.emr = False: Extra inputs are not permitted"),
        ("availability_zone_ids", '["eu-central-1a"]', "zone_ids.0 = 'eu-central-1a': String should match"),
        ("batch", '{"reconcile_schedule": "daily"}', ":batch.reconcile_schedule = 'daily': String should match"),
        ("batch", '{"sources": {"workers": 1}}', "sources.workers = 1: Input should be greater than or equal to 2"),
        ("switches", '{"warehouse": "perhaps"}', "shopware-lakehouse:switches.warehouse = 'perhaps'"),
        ("allow_data_loss", "prod", "allow_data_loss is 'prod', this environment is 'dev': give its name"),
        ("redshift_base_capacity", "5", "redshift_base_capacity = 5: Input should be 4, 8, 16, 32, 64 or 128"),
        ("warehouse_clients", '["8.8.8.0/24"]', "clients.0 = '8.8.8.0/24': Value error, give a security group"),
        ("warehouse_clients", '["0.0.0.0/0"]', "clients.0 = '0.0.0.0/0': Value error, give a security group"),
        ("warehouse_clients", '["sg-x"]', ":warehouse_clients.0 = 'sg-x': Value error"),
        ("runbooks_url", "docs/runbooks", "shopware-lakehouse:runbooks_url = 'docs/runbooks': String should match"),
        ("runbooks_url", "https://wiki/run%20books", "String should match pattern"),
        ("runbooks_url", "http://wiki/runbooks", ":runbooks_url = 'http://wiki/runbooks': String should match pattern"),
        ("vpc_cidr", "10.300.0.0/16", "shopware-lakehouse:vpc_cidr = '10.300.0.0/16': Value error"),
        ("compute", '{"executor_memory_gb": 20}', "executor_memory_gb is 20: EMR Serverless gives a worker of 1 vCPU"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_key_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, told: str
) -> None:
    monkeypatch.setattr(pulumi.Config, "get", lambda _, name, *rest: value if name == key else None)
    with pytest.raises(ConfigurationError) as refused:
        load(pulumi.Config(KEY_PREFIX), None, ("finance", "sales"))
    assert told in str(refused.value)
    assert str(refused.value).endswith("(`pulumi config set --path` mends it)")


def test_the_page_has_every_key_of_the_model() -> None:
    text = configuration_page.PAGE.read_text(encoding="utf-8")

    assert text == configuration_page.page(), "run `python -m infra.configuration_page`"
    assert "| `batch.maintenance.timeout_minutes` | whole number, 5 to 1440 | `120` | After this a run is ended" in text
    assert "| `compute.driver_cores` | `1`, `2`, `4`, `8`, `16` | `2` | Cores of each job's driver. |" in text


def test_the_project_declares_every_key_with_type_default_and_meaning() -> None:
    """Pulumi, "Project configuration": string, integer, boolean, array (with items) or object."""
    text = configuration_page.PROJECT.read_text(encoding="utf-8")
    keys = yaml.safe_load(text)["config"]

    assert text == configuration_page.project(), "run `python -m infra.configuration_page`"
    assert {*keys} == {*EstateConfig.model_fields}
    assert {each["type"] for each in keys.values()} == {"string", "integer", "boolean", "array", "object"}
    assert [name for name, each in keys.items() if not each["description"] or each["default"] is None] == []


def test_defaults_that_the_project_declares_are_those_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the engine hands them over: structures as JSON, the rest as text. The Region is then that of `aws:region`."""
    keys = yaml.safe_load(configuration_page.PROJECT.read_text(encoding="utf-8"))["config"]
    texts = {
        name: each["default"] if isinstance(each["default"], str) else json.dumps(each["default"])
        for name, each in keys.items()
    }
    monkeypatch.setattr(pulumi.Config, "get", lambda _, name, *rest: texts[name])

    assert load(pulumi.Config(KEY_PREFIX), "eu-west-1", ()) == EstateConfig(region="eu-west-1")


def test_a_part_of_a_job_leaves_its_other_defaults() -> None:
    config = EstateConfig.model_validate({"batch": {"maintenance": {"workers": 4}}})

    assert (config.batch.maintenance.workers, config.batch.maintenance.timeout_minutes) == (4, 120)


def test_a_number_that_pulumi_hands_over_as_text_is_a_choice_all_the_same() -> None:
    assert EstateConfig.model_validate({"redshift_base_capacity": "16"}).redshift_base_capacity == 16


def test_a_wrong_value_touches_no_resource() -> None:
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project=PROJECT, stack="dev", preview=False)
    pulumi.runtime.set_all_config({**stack_configuration("dev"), f"{PROJECT}:streams": '{"shards": -1}'})
    with pytest.raises(ConfigurationError, match=r"streams.shards = -1"):
        pulumi.runtime.test(declaration())()  # type: ignore[no-untyped-call]
    assert recorder.resources == []


def test_the_defaults_are_the_cheap_stack_that_dev_is() -> None:
    cheap = EstateConfig.model_validate({})

    assert cheap.streams.shards == 0, "on demand"
    assert cheap.model_copy(update={"streams": Streams(shards=1)}) == configuration("dev")
    assert (cheap.availability_zones, cheap.streams.retention_hours) == (1, 24)
    assert (cheap.compute.trigger_seconds, cheap.compute.maximum_cores, cheap.compute.together) == (60, 8, True)


def combinations() -> list[tuple[str, dict[str, bool]]]:
    """Both stacks with each switch turned over, with all off and with all on."""
    found: list[tuple[str, dict[str, bool]]] = []
    for stack in STACKS:
        given: dict[str, Any] = json.loads(stack_configuration(stack).get(f"{PROJECT}:switches", "{}"))
        base = Switches(**given).model_dump()
        for name, value in base.items():
            found.append((stack, {name: not value}))
        found += [(stack, dict.fromkeys(base, False)), (stack, dict.fromkeys(base, True))]
    return found


@pytest.mark.parametrize(("stack", "switches"), combinations(), ids=lambda value: str(value).replace(" ", ""))
def test_every_switch_leaves_a_program_that_keeps_the_rules(stack: str, switches: dict[str, bool]) -> None:
    program = recorded(stack, switches=switches)
    assert len(program.resources) > 150
    assert {name: [str(each) for each in rule(program)] for name, rule in RULES.items()} == {name: [] for name in RULES}
