"""The trade-off as a drawing, in SVG by hand: a plotting library would be a dependency for one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Curve = Sequence[tuple[float, float]]
"""Share cut off (0 to 1) and dead air in ms, by rising share."""

_WIDTH, _HEIGHT, _EDGE = 360, 260, 46
_MOST_MS, _MOST_SHARE = 1600.0, 0.6
_COLOURS = ("#888888", "#1f6fb4", "#d1662a", "#2a8f4f")


def frontier(shares: Sequence[float], dead_air_ms: Sequence[float]) -> Curve:
    """The settings that no other one beats in both."""
    best: list[tuple[float, float]] = []
    for share, air in sorted(zip(shares, dead_air_ms, strict=True)):
        if not best or air < best[-1][1]:
            best.append((share, air))
    return best


def svg(panels: Mapping[str, Mapping[str, Curve]], columns: int = 3) -> str:
    """One panel for each condition, one curve in it for each policy."""
    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="11" '
        f'width="{columns * _WIDTH}" height="{rows * _HEIGHT + 30}">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (title, curves) in enumerate(panels.items()):
        row, column = divmod(number, columns)
        parts.append(
            f'<g transform="translate({column * _WIDTH},{row * _HEIGHT})">{_panel(title, curves, names)}</g>'
        )
    for number, name in enumerate(names):
        x, y = 20 + number * 200, rows * _HEIGHT + 18
        parts.append(f'<rect x="{x}" y="{y - 8}" width="18" height="4" fill="{_colour(number)}"/>')
        parts.append(f'<text x="{x + 24}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _x(share: float) -> float:
    return _EDGE + min(share, _MOST_SHARE) / _MOST_SHARE * (_WIDTH - _EDGE - 16)


def _y(dead_air_ms: float) -> float:
    return _HEIGHT - _EDGE - min(dead_air_ms, _MOST_MS) / _MOST_MS * (_HEIGHT - _EDGE - 26)


def _panel(title: str, curves: Mapping[str, Curve], names: Sequence[str]) -> str:
    parts = [f'<text x="{_EDGE}" y="16" font-weight="bold">{escape(title)}</text>']
    for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        parts.append(
            f'<line x1="{_x(share):.1f}" x2="{_x(share):.1f}" y1="{_y(0):.1f}" y2="{_y(_MOST_MS):.1f}" stroke="#eee"/>'
        )
        parts.append(
            f'<text x="{_x(share):.1f}" y="{_y(0) + 14:.1f}" text-anchor="middle">{share:.0%}</text>'
        )
    for ms in range(0, int(_MOST_MS) + 1, 400):
        parts.append(
            f'<line x1="{_x(0):.1f}" x2="{_x(_MOST_SHARE):.1f}" y1="{_y(ms):.1f}" y2="{_y(ms):.1f}" stroke="#eee"/>'
        )
        parts.append(f'<text x="{_x(0) - 4:.1f}" y="{_y(ms) + 4:.1f}" text-anchor="end">{ms}</text>')
    parts.append(
        f'<text x="{_x(0.3):.1f}" y="{_HEIGHT - 14}" text-anchor="middle">pauses cut off (dead air in ms)</text>'
    )
    for name, curve in curves.items():
        steps = [(curve[0][0], _MOST_MS)] if curve else []
        for share, air in curve:  # a frontier holds until the next setting on it
            steps += [(share, steps[-1][1]), (share, air)]
        points = " ".join(f"{_x(share):.1f},{_y(air):.1f}" for share, air in steps)
        colour = _colour(names.index(name))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "\n".join(parts)
