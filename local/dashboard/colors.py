"""One colour for each value of a dimension, the same on every chart, in every period and under every filter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

INK, MUTED, GRID, SURFACE = "#1f2a37", "#64748b", "#e7ebf0", "#ffffff"
TEAL, BLUE, AMBER, ROSE, VIOLET, GREEN, SLATE = (
    "#0f766e", "#2f6fde", "#c47f17", "#c9415d", "#7757d1", "#5a9a3a", "#8793a3",
)  # fmt: skip
PALETTE = (
    TEAL, BLUE, AMBER, ROSE, VIOLET, GREEN, "#0e9aa7", "#a5673f", "#b04ea0", "#1f4f8b",
    "#d96c2c", "#6b8e23", "#8b1e3f", "#4b3fa7", "#2e7d4f", "#cf6fb0", "#5f7f95", "#a38b00", "#e08a8a", "#69b3e7",
)  # fmt: skip
# Beyond the palette the colours come again, hatched on bars and dashed on lines.
HATCHES = ("", "/", "x", ".", "\\", "-")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Style:
    """How one series looks: its colour, the hatching of its bars and the dashes of its line."""

    color: str
    hatch: str = ""
    dash: str = "solid"


PLAIN = Style(TEAL)
OTHER = Style("#b6c0cc")

Styles = Mapping[Any, Style]


def styles_of(values: Iterable[object]) -> dict[Any, Style]:
    """A style for each of all the values that a dimension ever had; no two share one while there are at most 120.

    A value's place follows from its name, so new values leave the colours of most others as they are.
    """
    taken: set[int] = set()
    styles: dict[Any, Style] = {}
    for value in sorted(set(values), key=lambda each: (str(each), type(each).__name__)):
        place = _free(crc32(str(value).encode()) % len(PALETTE), len(taken) // len(PALETTE), taken)
        taken.add(place)
        layer = place // len(PALETTE)
        color = PALETTE[place % len(PALETTE)]
        styles[value] = Style(color, HATCHES[layer % len(HATCHES)], DASHES[layer % len(DASHES)])
    return styles


def _free(wanted: int, layer: int, taken: set[int]) -> int:
    """The first place from the wanted one on, round the palette, that no other value has."""
    size = len(PALETTE)
    return next(
        layer * size + (wanted + step) % size
        for step in range(size)
        if layer * size + (wanted + step) % size not in taken
    )
