"""Chance that repeats itself: every part of a production draws from a stream of its own."""

from random import Random


def chance(seed: int, part: str) -> Random:
    """Random numbers that depend on the seed and the part's name alone, so that no part disturbs another."""
    return Random(f"{seed}/{part}")  # noqa: S311
