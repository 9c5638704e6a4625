"""What viewers saw over time as one SVG: a lane per profile, its layer as a step line, its stands as bars.  Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from html import escape

from .measure import Picture

WIDTH, LANE, LEFT, TOP = 900, 70, 110, 24
LAYERS = (135, 270, 540)
STAND_S = 0.5
"""Shorter gaps between pictures are not drawn."""
INK, LINE, STAND, GRID = "#222", "#0a62c9", "#d33", "#ddd"


def lanes(runs: Mapping[str, Sequence[Picture]], seconds: float) -> str:
    """Return the picture of all ``runs``: by name what was decoded, over 0..``seconds`` since asking."""
    height = TOP + LANE * len(runs) + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="14">height of the layer seen (135, 270, 540) over time; red: the picture stands</text>',
    ]
    for index, (name, pictures) in enumerate(runs.items()):
        parts += _lane(name, pictures, TOP + index * LANE, seconds)
    step = max(1, round(seconds / 10))
    for second in range(0, int(seconds) + 1, step):
        parts.append(f'<text x="{_x(second, seconds):.0f}" y="{height - 8}" text-anchor="middle">{second} s</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _lane(name: str, pictures: Sequence[Picture], top: int, seconds: float) -> list[str]:
    parts = [f'<text x="8" y="{top + LANE // 2}">{escape(name)}</text>']
    for layer in LAYERS:
        y = _y(layer, top)
        parts.append(f'<path d="M{LEFT} {y:.0f}H{WIDTH - 10}" stroke="{GRID}"/>')
    for begin, end in _stands(pictures, seconds):
        x, wide = _x(begin, seconds), _x(end, seconds) - _x(begin, seconds)
        parts.append(
            f'<rect x="{x:.1f}" y="{top + 4}" width="{wide:.1f}" height="{LANE - 12}" fill="{STAND}" opacity=".35"/>'
        )
    if pictures:
        steps = [f"M{_x(pictures[0].at_s, seconds):.1f} {_y(pictures[0].height, top):.1f}"]
        for before, this in itertools.pairwise(pictures):
            if this.height != before.height:
                steps.append(f"H{_x(this.at_s, seconds):.1f}V{_y(this.height, top):.1f}")
        steps.append(f"H{_x(pictures[-1].at_s, seconds):.1f}")
        parts.append(f'<path d="{"".join(steps)}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    return parts


def _stands(pictures: Sequence[Picture], seconds: float) -> list[tuple[float, float]]:
    """Every span of more than STAND_S without a new picture, the wait for the first one included."""
    times = [0.0, *(p.at_s for p in pictures), seconds]
    return [(a, b) for a, b in itertools.pairwise(times) if b - a > STAND_S]


def _x(second: float, seconds: float) -> float:
    return LEFT + (WIDTH - 10 - LEFT) * min(1.0, second / seconds)


def _y(height: int, top: int) -> float:
    return top + LANE - 12 - (LANE - 20) * min(height, LAYERS[-1]) / LAYERS[-1]
