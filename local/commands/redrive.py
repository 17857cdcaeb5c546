"""`lakehouse redrive SOURCE`: rejected records go through again."""

import json as json_text
from dataclasses import asdict

from lakehouse.contracts import load_contracts
from lakehouse.settings import Settings
from runtime.leases import Leases
from streaming.redrive import redrive


def run(source: str, settings: Settings, json: bool = False) -> None:
    """Puts the rejected records of a source through again and prints how many passed.

    Raises LeaseHeldError while a job writes silver, ContractError for a source that does not exist.
    """
    contracts = load_contracts(settings.contracts_directory)
    table = f"silver.{contracts.silver_of(source).name}"
    with Leases(settings.root, f"redrive {source}", [table]) as leases:
        done = redrive(settings, contracts, source, leases.check)
    if json:
        print(json_text.dumps(asdict(done)))
    else:
        print(f"{source}: {done.tried} rejected records tried again, {done.passed} passed into silver")
