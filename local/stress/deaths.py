"""How a job dies in a stress run: drawn at random, the same for the same seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.failpoints import POINTS

# Points that a streaming job comes to in every run of some seconds.
STREAMING_POINTS = tuple(
    name
    for name in POINTS
    if name.partition(".")[0] not in ("files", "maintenance") and name not in ("gold.replaced", "gold.before_manifest")
)
EARLIEST_SECONDS, LATEST_SECONDS = 1.0, 22.0
MOST_PASSINGS = 3


@dataclass(frozen=True)
class Death:
    """One death: `what` of the job is killed, at a named `point` (its JVM and workers with it) or so many seconds
    after its start.

    `what` is `job` (driver, JVM and workers at once, as a machine that is switched off), `jvm`, `driver` (whose JVM
    may still end the write that it is at) or `worker` (one Python worker of Spark: the job must go on).
    """

    what: str
    point: str | None
    after: float

    def __str__(self) -> str:
        return f"{self.what} at {self.point}" if self.point else f"{self.what} after {self.after:.1f} s"


def drawn(seed: int, number: int) -> list[Death]:
    """The deaths of a run, in their order: about half at named points, half at any moment."""
    chance = random.Random(seed)  # noqa: S311 - a test's course, no secret
    return [_one(chance, STREAMING_POINTS) for _ in range(number)]


def _one(chance: random.Random, points: Sequence[str]) -> Death:
    point, passing = chance.choice(points), chance.randint(1, MOST_PASSINGS)
    what = chance.choices(("job", "jvm", "driver", "worker"), (4, 2, 2, 1))[0]
    after = chance.uniform(EARLIEST_SECONDS, LATEST_SECONDS)
    if chance.random() < 0.5:
        return Death("job", point if passing == 1 else f"{point}@{passing}", LATEST_SECONDS)
    return Death(what, None, after)
