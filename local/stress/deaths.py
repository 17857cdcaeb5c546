"""How a job dies in a stress run: drawn at random, the same for the same seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.failpoints import POINTS

# A gold table is replaced once, at the first start: this death comes first.
FIRST_POINT = "gold.replaced"
# Points that a streaming job comes to again and again.
POINTS_OF_A_STREAM = tuple(name for name in POINTS if not name.startswith("files.") and name != FIRST_POINT)
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
    """The deaths of a run, in their order: each named point once, then half at named points, half at any moment."""
    chance = random.Random(seed)  # noqa: S311 - a test's course, no secret
    points = [FIRST_POINT, *chance.sample(POINTS_OF_A_STREAM, len(POINTS_OF_A_STREAM))]
    deaths = [Death("job", point, LATEST_SECONDS) for point in points]
    deaths += [_one(chance, POINTS_OF_A_STREAM) for _ in range(number - len(deaths))]
    return deaths[: max(0, number)]


def _one(chance: random.Random, points: Sequence[str]) -> Death:
    point, passing = chance.choice(points), chance.randint(1, MOST_PASSINGS)
    what = chance.choices(("job", "jvm", "driver", "worker"), (4, 2, 2, 1))[0]
    after = chance.uniform(EARLIEST_SECONDS, LATEST_SECONDS)
    if chance.random() < 0.5:
        return Death("job", point if passing == 1 else f"{point}@{passing}", LATEST_SECONDS)
    return Death(what, None, after)
