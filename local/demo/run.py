"""What one demo is: its options, and where it keeps what it makes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.settings import Settings


@dataclass(frozen=True)
class Run:
    """Where one demo keeps what it makes: the lake, the landing area inside it, the producer's ledger, the logs."""

    settings: Settings
    days: int
    seed: int
    rate: float
    folder: Path

    @property
    def landing(self) -> str:
        """Where the demo's files land."""
        return f"{self.settings.root.rstrip('/')}/landing"

    @property
    def ledger(self) -> Path:
        """What the producer delivered, as confirmed."""
        return self.folder / "ledger.jsonl"

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of the demo for the processes that it starts."""
        return {
            "LAKEHOUSE_ROOT": self.settings.root,
            "LAKEHOUSE_LANDING": self.landing,
            "LAKEHOUSE_STREAMS": json.dumps(self.settings.streams),
            "LAKEHOUSE_REGION": self.settings.region,
            "LAKEHOUSE_STATE_DIRECTORY": str(self.settings.state_directory.absolute()),
            "LAKEHOUSE_CONTRACTS_DIRECTORY": str(self.settings.contracts_directory.absolute()),
        }
