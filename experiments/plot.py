"""A row a name, a point with its interval: the figure of the experiments."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.plots import COLOURS, MARKERS, as_png, new_figure

Span = tuple[float, float, float]
"""Value, low, high, in percent."""


def rows_with_intervals(
    names: Sequence[str], series: Sequence[tuple[str, Sequence[Span]]], axis: str, line: float | None
) -> bytes:
    """PNG: names from top to bottom; a series is a label and a span for each name; `line`: a level to compare with."""
    height = 1.1 + 0.3 * len(names) * max(1.0, 0.6 * len(series))
    figure, (axes,) = new_figure(1, height)
    figure.set_figwidth(7.2)
    for number, (label, spans) in enumerate(series):
        shift = 0.24 * (number - (len(series) - 1) / 2)
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        for place, (value, low, high) in enumerate(spans):
            error = [[value - low], [high - value]]
            shown = label if place == 0 else None
            axes.errorbar(
                value, place + shift, xerr=error, color=colour, fmt=marker, markersize=4, capsize=2, label=shown
            )
    if line is not None:
        axes.axvline(line, color="#57606a", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(axis)
    if len(series) > 1:
        axes.legend(fontsize=8, frameon=False)
    return as_png(figure)
