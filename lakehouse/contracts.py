"""The contracts of a lake: reads a folder of `*.odcs.yaml` files and refuses what does not fit together.

    contracts = load_contracts(settings.contracts_directory)
    contracts.source("pos"); contracts.silver_of("pos"); contracts.table("gold.sales_kpis")

No Spark and no AWS here: the infrastructure program reads contracts too.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from lakehouse.contract_model import (
    BAD_ROWS,
    BRONZE_ENVELOPE,
    Column,
    Contract,
    ContractError,
    Contracts,
    Group,
    Role,
)
from lakehouse.expressions import fault_of_expression
from lakehouse.odcs import read_contract

__all__ = ["Column", "Contract", "ContractError", "Contracts", "Group", "Role", "load_contracts"]

SUFFIX = ".odcs.yaml"
PARSED = ("errors", "undeclared")  # what parsing adds to the columns of a record


def load_contracts(directory: Path) -> Contracts:
    """All contracts of a folder; silver contracts hold their full list of columns.

    A silver table's columns are the record's (record_id, arrived_at), the source's under their stored names, then its
    own; identity, event time and precedence are the source's. Raises ContractError naming the file, the key and what
    to mend.
    """
    files = sorted(directory.glob(f"*{SUFFIX}"))
    if not files:
        raise ContractError(f"{directory} holds no *{SUFFIX} file: set contracts_directory to the folder of contracts")
    own: dict[str, Contract] = {}
    named_in: dict[str, str] = {}
    for file in files:
        contract = read_contract(file)
        if contract.name in own:
            raise ContractError(f"{file.name}: name: {contract.name} is already the name in {named_in[contract.name]}")
        own[contract.name] = contract
        named_in[contract.name] = file.name
    for name, kind in ((BRONZE_ENVELOPE, "bronze"), (BAD_ROWS, "rejected")):
        if name not in own or own[name].kind != kind:
            raise ContractError(f"{directory}: there must be a contract {name} of kind {kind}")
    complete: dict[str, Contract] = {}
    for name, contract in own.items():
        try:
            complete[name] = _extended(contract, own)
        except ContractError as error:
            raise ContractError(f"{named_in[name]}: {error}") from error
    contracts = Contracts(complete)
    for name, contract in complete.items():
        try:
            _refuse_unfit(contract, contracts)
        except ContractError as error:
            raise ContractError(f"{named_in[name]}: {error}") from error
    return contracts


def _extended(contract: Contract, own: Mapping[str, Contract]) -> Contract:
    """A silver contract with its source's columns and keys; every other contract as it is."""
    if contract.kind != "silver":
        if contract.extends is not None:
            raise ContractError(f"customProperties.extends: only silver contracts extend a source, not {contract.kind}")
        return contract
    source = own.get(contract.extends or "")
    if source is None or source.kind != "source":
        raise ContractError(f"customProperties.extends: {contract.extends!r} is no source")
    rivals = [other.name for other in own.values() if other.kind == "silver" and other.extends == source.name]
    if len(rivals) > 1:
        raise ContractError(f"customProperties.extends: {source.name} has two silver contracts: {', '.join(rivals)}")
    for key in ("identity", "precedence", "event_time"):
        if getattr(contract, key):
            raise ContractError(f"{key}: is the source's; {contract.name} must not give its own")
    envelope = own[BRONZE_ENVELOPE]
    record = (envelope.column("record_id"), envelope.column("arrived_at"))
    inherited = tuple(replace(column, name=column.stored_as) for column in source.columns)
    repeated = {column.name for column in record + inherited} & {column.name for column in contract.columns}
    if repeated:
        raise ContractError(f"schema: {', '.join(sorted(repeated))} is already a column of {source.name}: leave it out")
    for column in contract.columns:
        if not (column.lookup or column.expression or column.settled):
            raise ContractError(f"schema.{column.name}: needs one of lookup, expression and settled to get a value")
    return replace(
        contract,
        columns=record + inherited + contract.columns,
        identity=source.identity,
        precedence=source.precedence,
        event_time=source.event_time,
    )


def _refuse_unfit(contract: Contract, contracts: Contracts) -> None:
    _refuse_duplicates("schema", contract.column_names)
    _refuse_duplicates("schema", [column.name for column in contract.columns])
    _refuse_duplicates("roles", [role.name for role in contract.roles])
    known = set(contract.column_names)
    if contract.kind == "source":
        record = set(contracts[BRONZE_ENVELOPE].column_names)
        _refuse_unfit_source(contract, record | set(PARSED))
        known |= record
    for key, names in (
        ("primaryKey", contract.identity),
        ("partitioned", contract.partitions),
        ("customProperties.precedence", contract.precedence),
        ("customProperties.eventTime", [contract.event_time] if contract.event_time else []),
        ("customProperties.group", [contract.group.key, *contract.group.order] if contract.group else []),
        *((f"roles.{role.name}.columns", role.columns or ()) for role in contract.roles),
    ):
        for name in names:
            if name not in known:
                raise ContractError(f"{key}: {name!r} is no column of {contract.name}")
    for column in contract.columns:
        _refuse_unfit_column(column, contract, contracts)


def _refuse_unfit_source(contract: Contract, taken: Collection[str]) -> None:
    if not contract.identity or not contract.event_time or not contract.precedence:
        raise ContractError("a source needs primaryKey columns, eventTime and precedence")
    if contract.event_time not in contract.identity:
        raise ContractError(f"primaryKey: must include the event time {contract.event_time}, so that a merge can prune")
    for name in contract.identity:
        if not contract.column(name).required:
            raise ContractError(f"schema.{name}.required: must be true for a primaryKey column")
    if contract.column(contract.event_time).type not in ("timestamp", "date"):
        raise ContractError(f"customProperties.eventTime: {contract.event_time} must be a timestamp or a date")
    for column in contract.columns:
        if column.lookup or column.expression or column.settled or column.type.startswith("array"):
            raise ContractError(f"schema.{column.name}: a source's columns are plain fields of its records")
        if column.stored_as in taken:
            raise ContractError(f"schema.{column.name}: {column.stored_as!r} is what every record has; use storedAs")


def _refuse_unfit_column(column: Column, contract: Contract, contracts: Contracts) -> None:
    path = f"schema.{column.name}"
    if column.stored_as != column.name and contract.kind != "source":
        raise ContractError(
            f"{path}.customProperties.storedAs: only a source's fields can be stored under another name"
        )
    for key, target in (("relationships", column.reference), ("customProperties.lookup", column.lookup)):
        if target is None:
            continue
        table, name = target
        if table not in contracts.references:
            known = ", ".join(contracts.references)
            raise ContractError(f"{path}.{key}: {table!r} is no reference data: there are {known}")
        if name not in contracts[table].column_names:
            raise ContractError(f"{path}.{key}: {table} has no column {name!r}")
    if column.reference and column.reference[1] != contracts[column.reference[0]].reference_key:
        raise ContractError(f"{path}.relationships: {'.'.join(column.reference)} is not what identifies a row there")
    if column.lookup and not any(
        other.reference and other.reference[0] == column.lookup[0] for other in contract.columns
    ):
        raise ContractError(f"{path}.customProperties.lookup: no column refers to {column.lookup[0]}")
    if column.expression is not None:
        place = contract.columns.index(column)
        earlier = [(each.stored_as, each.type) for each in contract.columns[:place] if not each.settled]
        fault = fault_of_expression(column.expression, earlier)
        if fault is not None:
            raise ContractError(f"{path}.customProperties.expression: {column.expression!r} is no DuckDB SQL: {fault}")
    if column.settled and contract.group is None:
        raise ContractError(f"{path}.customProperties.settled: {contract.name} has no group to settle")


def _refuse_duplicates(key: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise ContractError(f"{key}: {name!r} is there twice (tables do not tell upper from lower case)")
        seen.add(name.casefold())
