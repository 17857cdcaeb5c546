"""What a table's contract says, as plain frozen values. `odcs.py` reads the files, `contracts.py` checks them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from lakehouse.dialect import PLAIN, Dialect
from lakehouse.errors import LakehouseError

KINDS = ("source", "silver", "gold", "bronze", "rejected")
CLASSIFICATIONS = ("public", "internal", "pii")
BRONZE_ENVELOPE = "bronze_envelope"
BAD_ROWS = "bad_rows"
# Clocks go wrong by less than that; what happens later than its arrival by more is a mistake, unless a contract agrees.
CLOCK_SKEW = timedelta(hours=24)


class ContractError(LakehouseError):
    """A contract that cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    In a source contract `name` is the field of the payload and `stored_as` the silver column that it becomes;
    elsewhere both are the column's name. `type` is a Spark type such as `decimal(18,4)`. `minimum` and `maximum` are
    inclusive. `reference` is (source, column) of the reference data that must know the value as of the event time;
    `lookup` (source, column) is copied from that reference row; `expression` is DuckDB SQL over earlier columns;
    `settled` columns are given by the rows of the group together.
    """

    name: str
    stored_as: str
    type: str
    required: bool
    description: str
    classification: str
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    enum: tuple[str, ...] = ()
    pattern: str | None = None
    max_length: int | None = None
    reference: tuple[str, str] | None = None
    lookup: tuple[str, str] | None = None
    expression: str | None = None
    settled: bool = False


@dataclass(frozen=True)
class Group:
    """The rows that settle together: those of one `key` whose neighbours in `order` are at most `gap` apart."""

    key: str
    gap: timedelta
    order: tuple[str, ...]


@dataclass(frozen=True)
class Role:
    """Who may read a table: `columns` (None: all) without the `excluded` classifications, rows by `row_filter`."""

    name: str
    description: str
    columns: tuple[str, ...] | None
    excluded: tuple[str, ...]
    row_filter: str | None


@dataclass(frozen=True)
class Contract:
    """All that is agreed on one table.

    `identity` (columns that make two records the same), `partitions`, `event_time` and the group's columns are names
    as stored. Of records with one identity the greatest by `precedence` wins. The event time may be at most
    `event_time_ahead` later than the arrival. `freshness` is the longest time that a record may take to arrive here;
    `retention_days` how long it is kept. None: not agreed. `dialect` is how a source writes its files.
    """

    name: str
    kind: str
    version: str
    description: str
    columns: tuple[Column, ...]
    identity: tuple[str, ...]
    precedence: tuple[str, ...]
    partitions: tuple[str, ...]
    event_time: str | None
    group: Group | None
    extends: str | None
    owner: str
    retention_days: int | None
    freshness: timedelta | None
    roles: tuple[Role, ...]
    event_time_ahead: timedelta = CLOCK_SKEW
    dialect: Dialect = PLAIN

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns as stored, in table order."""
        return tuple(column.stored_as for column in self.columns)

    @property
    def reference_key(self) -> str:
        """The column that finds a row of reference data as of a time: its identity without the time."""
        return next(name for name in self.identity if name != self.event_time)

    def column(self, stored_as: str) -> Column:
        """The column with that stored name; raises ContractError when there is none."""
        for column in self.columns:
            if column.stored_as == stored_as:
                return column
        raise ContractError(f"contract {self.name} has no column {stored_as!r}: it has {', '.join(self.column_names)}")


class Contracts(Mapping[str, Contract]):
    """The contracts of one lake by name, and the table behind each name such as `silver.validated_pos`."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self._contracts = dict(contracts)
        self._silver = {
            contract.extends: contract for contract in self._contracts.values() if contract.kind == "silver"
        }

    def __getitem__(self, name: str) -> Contract:
        try:
            return self._contracts[name]
        except KeyError:
            raise ContractError(f"there is no contract {name!r}: there are {', '.join(self._contracts)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._contracts

    def __iter__(self) -> Iterator[str]:
        return iter(self._contracts)

    def __len__(self) -> int:
        return len(self._contracts)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all sources, reference data included."""
        return tuple(name for name, contract in self._contracts.items() if contract.kind == "source")

    @property
    def references(self) -> tuple[str, ...]:
        """The sources without a silver contract of their own: effective-dated reference data."""
        return tuple(name for name in self.sources if name not in self._silver)

    @property
    def tables(self) -> tuple[str, ...]:
        """Every table of the lake, such as `bronze.pos`, layer by layer."""
        silver = (self.silver_of(source).name for source in self.sources)
        gold = (name for name, contract in self._contracts.items() if contract.kind == "gold")
        layers = {"bronze": self.sources, "silver": silver, "gold": gold, "rejected": self.sources}
        return tuple(f"{layer}.{name}" for layer, names in layers.items() for name in names)

    def source(self, name: str) -> Contract:
        """The contract of a source; raises ContractError for anything else."""
        contract = self[name]
        if contract.kind != "source":
            raise ContractError(f"{name} is no source: the sources are {', '.join(self.sources)}")
        return contract

    def silver_of(self, source: str) -> Contract:
        """The silver table that a source becomes; of reference data the table of the source's own name."""
        contract = self.source(source)
        if source in self._silver:
            return self._silver[source]
        own = tuple(replace(column, name=column.stored_as) for column in contract.columns)
        return replace(contract, kind="silver", extends=source, columns=self._record_columns() + own)

    def table(self, name: str) -> Contract:
        """The contract of a table such as `bronze.pos`, `silver.stores`, `gold.sales_kpis` or `rejected.pos`.

        Bronze and rejected tables share one set of columns; owner, freshness and retention are their source's.
        """
        layer, _, table = name.partition(".")
        if name not in self.tables:
            raise ContractError(f"there is no table {name!r}: there are {', '.join(self.tables)}")
        if layer == "gold":
            return self[table]
        if layer == "silver":
            return next(silver for silver in map(self.silver_of, self.sources) if silver.name == table)
        source = self[table]
        return replace(
            self[BRONZE_ENVELOPE if layer == "bronze" else BAD_ROWS],
            name=table,
            owner=source.owner,
            freshness=source.freshness,
            retention_days=source.retention_days,
        )

    def _record_columns(self) -> tuple[Column, ...]:
        """The columns that every silver row keeps of its bronze record: where it is from and when it arrived."""
        envelope = self[BRONZE_ENVELOPE]
        return envelope.column("record_id"), envelope.column("arrived_at")
