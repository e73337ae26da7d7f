"""Histograms as SVG, drawn without a script."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shards.document import text

BINS, WIDTH, HEIGHT = 24, 264, 70


def histogram(values: Sequence[float], title: str, scale: float = 1.0, unit: str = "") -> str:
    """A figure of how often values occur, "" where there are none; `scale` is what they are shown times."""
    if not len(values):
        return ""
    counts, edges = np.histogram(np.asarray(values, np.float64) * scale, bins=BINS)
    step, tallest = WIDTH / BINS, max(int(counts.max()), 1)
    bars = "".join(
        f'<rect x="{place * step:.1f}" y="{HEIGHT - HEIGHT * count / tallest:.1f}" width="{step - 1:.1f}" '
        f'height="{HEIGHT * count / tallest:.1f}"><title>{edges[place]:.4g} to {edges[place + 1]:.4g}{text(unit)}: '
        f"{count}</title></rect>"
        for place, count in enumerate(counts.tolist())
        if count
    )
    told = (
        f"{title}: {edges[0]:.3g} to {edges[-1]:.3g}{unit}, "
        f"median {float(np.median(values)) * scale:.3g}{unit}, {len(values)} in all"
    )
    return (
        f'<figure><svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" fill="#4a7ba6" '
        f'aria-label="{text(told)}">{bars}</svg><figcaption>{text(told)}</figcaption></figure>'
    )
