"""The parts of the estate that watch over it, declared without an engine; what they watch is named, not made."""

from types import SimpleNamespace
from typing import Any, cast

import pulumi

from infra.account_settings import AccountSettings, AccountSettingsArgs
from infra.audit import Audit, AuditArgs
from infra.batch import Batch
from infra.catalog import Catalog, CatalogArgs
from infra.compute import Compute
from infra.config import EstateConfig
from infra.cost import Cost, CostArgs
from infra.estate import Estate
from infra.keys import Keys, KeysArgs
from infra.monitoring import Monitoring, MonitoringArgs
from infra.storage import Storage, StorageArgs
from infra.streams import Streams, StreamsArgs
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS
from tests.infra.declared import Declared, Program
from tests.infra.recorded_program import ACCOUNT, PROJECT, Recorder

APPLICATION, RUN = "00f1a2b3", "00f1c0ffee"
BATCH_JOBS = ("pos", "maintenance")


def operations(**settings: Any) -> Program:
    """Keys, storage, streams and catalog with audit, monitoring and cost over them; `settings` as configured."""
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project=PROJECT, stack="dev", preview=False)

    def declare() -> None:
        account, partition = pulumi.Output.from_input(ACCOUNT), pulumi.Output.from_input("aws")
        estate = Estate(EstateConfig.model_validate(settings), load_contracts(CONTRACTS), account, partition)
        keys = Keys("keys", KeysArgs(estate))
        storage = Storage("storage", StorageArgs(estate, keys))
        streams = Streams("streams", StreamsArgs(estate, keys, storage))
        account_settings = AccountSettings("account", AccountSettingsArgs(estate, keys))
        catalog = Catalog("catalog", CatalogArgs(estate, account_settings, storage))
        job = SimpleNamespace(run_id=pulumi.Output.from_input(RUN))
        running = {"all": job} if estate.config.switches.streaming_jobs else {}
        compute = SimpleNamespace(application_id=pulumi.Output.from_input(APPLICATION), jobs=running)
        batch = SimpleNamespace(jobs={name: SimpleNamespace(name=estate.name(name)) for name in BATCH_JOBS})
        audit = Audit("audit", AuditArgs(estate, keys, storage, catalog))
        watched = MonitoringArgs(estate, keys, storage, streams, cast(Compute, compute), cast(Batch, batch), audit)
        Cost("cost", CostArgs(estate, Monitoring("monitoring", watched)))

    pulumi.runtime.test(declare)()  # type: ignore[no-untyped-call]
    return Program(recorder.resources)


def one(program: Program, kind: str, name: str = "") -> Declared:
    """The only resource of a type, or the one of that name."""
    found = [each for each in program.of(kind) if not name or each.name == name]
    assert len(found) == 1, f"{len(found)} resources {kind} {name}"
    return found[0]
