"""Bars as SVG, by hand: one series on a logarithmic axis, figures beside the bars."""

import math
from collections.abc import Sequence
from html import escape

WIDTH, LEFT, RIGHT, ROW, TOP = 860, 300, 90, 30, 46
OURS, OTHERS, INK, FAINT = "#0b6e4f", "#8d99a6", "#1f2933", "#e4e7eb"


def bars(title: str, unit: str, rows: Sequence[tuple[str, float]]) -> str:
    """A bar for each row, the first in the colour of the product."""
    values = [value for _, value in rows]
    low, high = 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values)))
    if low == high:
        high *= 10
    height = TOP + ROW * len(rows) + 34
    bottom = TOP + ROW * len(rows)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(value / low) / math.log10(high / low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="26" font-size="15" font-weight="bold" fill="{INK}">{escape(title)}</text>',
    ]
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = x(10.0**power)
        parts.append(f'<line x1="{at:.0f}" y1="{TOP}" x2="{at:.0f}" y2="{bottom}" stroke="{FAINT}"/>')
        told = f"{10.0**power:g} {unit}"
        parts.append(f'<text x="{at:.0f}" y="{bottom + 18}" text-anchor="middle" fill="{INK}">{escape(told)}</text>')
    for number, (name, value) in enumerate(rows):
        y = TOP + ROW * number
        colour = OTHERS if number else OURS
        parts.append(f'<text x="{LEFT - 10}" y="{y + 19}" text-anchor="end" fill="{INK}">{escape(name)}</text>')
        size = max(1.0, x(value) - LEFT)
        parts.append(f'<rect x="{LEFT}" y="{y + 5}" width="{size:.0f}" height="{ROW - 10}" fill="{colour}"/>')
        told = f"{value:.2f} {unit}"
        parts.append(f'<text x="{LEFT + size + 8:.0f}" y="{y + 19}" fill="{INK}">{escape(told)}</text>')
    return "\n".join([*parts, "</svg>", ""])
