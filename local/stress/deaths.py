"""How the jobs die in a stress run: drawn at random, the same for the same seed."""

import random
from dataclasses import dataclass

from runtime.failpoints import POINTS

# The jobs of a stress run, and what the points in each are named after; every job comes to those of `maintenance`.
JOBS = {"bronze": ("kinesis", "ledger", "bronze"), "silver": ("silver",), "gold": ("gold",)}
# A gold table is replaced once, at the first start: this death comes first.
FIRST_POINT = "gold.replaced"
# Points that a streaming job comes to again and again.
POINTS_OF_A_STREAM = tuple(name for name in POINTS if not name.startswith("files.") and name != FIRST_POINT)
EARLIEST_SECONDS, LATEST_SECONDS = 1.0, 22.0
MOST_PASSINGS = 3


@dataclass(frozen=True)
class Death:
    """One death: `what` of the `job` is killed, at a named `point` (its JVM and workers with it) or so many seconds
    after its start.

    `what` is `all` (driver, JVM and workers at once, as a machine that is switched off), `jvm`, `driver` (whose JVM
    may still end the write that it is at) or `worker` (one Python worker of Spark: the job must go on).
    """

    job: str
    what: str
    point: str | None
    after: float

    def __str__(self) -> str:
        how = f"at {self.point}" if self.point else f"after {self.after:.1f} s"
        return f"{self.job} {how}" if self.what == "all" else f"{self.what} of {self.job} {how}"


def drawn(seed: int, number: int) -> list[Death]:
    """The deaths of a run, in their order: each named point once, then half at named points, half at any moment."""
    chance = random.Random(seed)  # noqa: S311 - a test's course, no secret
    points = [FIRST_POINT, *chance.sample(POINTS_OF_A_STREAM, len(POINTS_OF_A_STREAM))]
    deaths = [_at(chance, point, 1) for point in points]
    deaths += [_one(chance) for _ in range(number - len(deaths))]
    return deaths[: max(0, number)]


def _one(chance: random.Random) -> Death:
    point, passing = chance.choice(POINTS_OF_A_STREAM), chance.randint(1, MOST_PASSINGS)
    job = chance.choice(tuple(JOBS))
    what = chance.choices(("all", "jvm", "driver", "worker"), (4, 2, 2, 1))[0]
    after = chance.uniform(EARLIEST_SECONDS, LATEST_SECONDS)
    return _at(chance, point, passing) if chance.random() < 0.5 else Death(job, what, None, after)


def _at(chance: random.Random, point: str, passing: int) -> Death:
    """A death at the point, in the job that comes to it."""
    owners = [job for job, prefixes in JOBS.items() if point.partition(".")[0] in prefixes]
    job = owners[0] if owners else chance.choice(tuple(JOBS))
    return Death(job, "all", point if passing == 1 else f"{point}@{passing}", LATEST_SECONDS)
