"""The settings of jobs and commands: flags win over LAKEHOUSE_* variables, those over a TOML file, it over defaults."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from lakehouse.errors import LakehouseError

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"


class Settings(BaseSettings):
    """Everything that differs between a laptop, EMR and Glue, except AWS credentials and endpoints (`AWS_*`)."""

    model_config = SettingsConfigDict(env_prefix="LAKEHOUSE_", extra="forbid", frozen=True)

    root: str = Field("s3://shopware-lakehouse", description="The lake: a folder or s3://bucket/prefix.")
    landing: str = Field("s3://shopware-landing", description="Where files arrive: a folder or s3://bucket/prefix.")
    region: str = Field("us-east-1", description="AWS region of the streams and buckets.")
    streams: dict[str, str] = Field(
        {"web_logs": "web_logs", "crm": "crm"}, description="Kinesis stream of each streaming source."
    )
    trigger_seconds: float = Field(1.0, ge=0, description="Shortest time between two micro-batches of a query.")
    batch_records: int = Field(10_000, gt=0, description="Most records that a micro-batch takes from one shard.")
    silver_batch_bytes: int = Field(
        16 * 2**20,
        gt=0,
        description="A batch takes no further version of bronze (gold: of silver) once it has so much.",
    )
    fail_on_data_loss: bool = Field(
        True, description="Stop when records left a stream unread; false: go on, the gap is in the commit's lineage."
    )
    shuffle_partitions: int = Field(2, gt=0, description="Tasks of a shuffle: about the cores of the job.")
    symlink_manifests: bool = Field(
        False, description="Keep manifests for Redshift Spectrum: gold's with every commit, silver's when it compacts."
    )
    spectrum_database: str = Field(
        "", description="Glue database with the tables of manifests, whose partitions jobs keep; empty: none."
    )
    compact_batches: int = Field(20, ge=0, description="A table is compacted once in so many of its commits; 0: never.")
    time_travel_hours: float = Field(168.0, ge=168.0, description="How far back a table can be read, in hours.")
    platform: Literal["local", "emr", "glue"] = Field(
        "local", description="What runs Spark: this machine, or EMR or Glue, which set it up themselves."
    )
    max_restarts: int = Field(5, ge=0, description="Restarts in a row of a failing query before its job gives up.")
    driver_memory: str = Field("2g", pattern=r"^\d+[mg]$", description="Heap of the Spark driver, such as 2g.")
    state_directory: Path = Field(Path(".lakehouse"), description="Logs, process ids and data of the local stack.")
    contracts_directory: Path = Field(CONTRACTS, description="The folder with the *.odcs.yaml files.")

    @field_validator("root", "landing")
    @classmethod
    def _absolute(cls, address: str) -> str:
        """A folder may be written as a shell takes it; jobs see it in full, since Spark has another idea of `.`."""
        return address if "://" in address else str(Path(address).expanduser().absolute())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of precedence, as pydantic-settings asks for it."""
        toml_file = Path(os.environ.get("LAKEHOUSE_CONFIG", "lakehouse.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file)


def load_settings(**flags: object) -> Settings:
    """The settings in force; flags that are None count as not given.

    Raises LakehouseError naming each wrong setting, its value and what is allowed.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: {fault['msg']}" for fault in error.errors()
        )
        raise LakehouseError(
            f"wrong setting: {faults} (flags, LAKEHOUSE_* variables and lakehouse.toml set them)"
        ) from error
