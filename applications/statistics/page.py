"""One HTML file with tables, histograms and pictures in it; nothing is fetched when it is opened."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from applications.statistics.items import ALL
from applications.statistics.tally import EDGES, F64, Group, Tally
from shards.masks import U8

STYLE = """body{font:14px sans-serif;margin:2em;max-width:70em;color:#222}table{border-collapse:collapse;margin:1em 0}
td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}
figure{display:inline-block;margin:.4em;vertical-align:top}figcaption{font-size:12px;max-width:180px}
img{image-rendering:pixelated;border:1px solid #ccc}h2{margin-top:2em;border-top:2px solid #888;padding-top:.5em}"""
BAR, GAP, TALL = 34, 4, 100


def page(title: str, runs: Mapping[str, Tally]) -> str:
    """The whole file."""
    parts = [f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"]
    parts += [f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"]
    for name, tally in runs.items():
        parts.append(f"<h2>{html.escape(name)}</h2>")
        parts += section(tally)
    return "".join(parts) + "</html>\n"


def section(tally: Tally) -> Iterable[str]:
    """Tables and figures of one run."""
    names = sorted(tally.groups, key=lambda name: (name != ALL, name))
    yield table(
        ("group", "pictures", "with artifact (95%)", "mean PAR", "known clean", "FPR (95%)", "APAA"),
        [group_row(name, tally.groups[name]) for name in names],
    )
    yield "<h3>Share of artifact pixels (PAR)</h3>"
    yield "".join(figure(histogram(tally.groups[name]), name) for name in names)
    yield "<h3>Where it is</h3><p>Mean of the masks, each brought to one square; the brightest is written below.</p>"
    yield "".join(heat_figure(tally.groups[name], name) for name in names)
    kinds = tally.kinds()
    if kinds:
        yield "<h3>Objects against stuff</h3>"
        yield table(
            ("kind", "of all pixels", "of the artifact", "artifact of its pixels"),
            [
                (row["kind"], *(percent(row[k]) for k in ("share_of_pixels", "share_of_artifact", "broken")))
                for row in kinds
            ],
        )
        yield "<p>Pictures that hold one of a kind:</p>"
        yield "".join(heat_figure(tally.with_kind[kind], kind) for kind in sorted(tally.with_kind))
    if tally.finds:
        yield "<h3>Most artifact</h3>"
        yield "".join(figure(image(thumb, "WEBP"), f"{key}: PAR {par:.1%}") for par, key, thumb in tally.finds)


def group_row(name: str, group: Group) -> tuple[str, ...]:
    facts = group.facts()
    return (
        name,
        str(group.pictures),
        spread(facts["share_marked"]),
        percent(facts["mean_par"]),
        str(group.clean or ""),
        spread(facts["fpr"]),
        percent(facts["apaa"]),
    )


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def spread(found: Mapping[str, float] | None) -> str:
    """A share with its interval."""
    return "" if found is None else f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def figure(content: str, words: str) -> str:
    return f"<figure>{content}<figcaption>{html.escape(words)}</figcaption></figure>"


def histogram(group: Group) -> str:
    """Share of the pictures in each bin of PAR, as SVG."""
    shares = group.bins / max(group.pictures, 1)
    bars = []
    for place, value in enumerate(shares):
        left, tall = place * (BAR + GAP), round(TALL * float(value), 1)
        label = "0" if not place else f"{EDGES[place]:.3g}"
        bars.append(
            f"<rect x='{left}' y='{TALL + 14 - tall}' width='{BAR}' height='{tall}' fill='#b33'/>"
            f"<text x='{left}' y='{TALL + 10 - tall}' font-size='9'>{value:.0%}</text>"
            f"<text x='{left}' y='{TALL + 26}' font-size='9'>{label}</text>"
        )
    return f"<svg width='{len(shares) * (BAR + GAP)}' height='{TALL + 32}'>{''.join(bars)}</svg>"


def heat_figure(group: Group, name: str) -> str:
    """The mean mask of a group, black to white by way of red and yellow."""
    mean = group.heat / max(group.pictures, 1)
    return figure(image(coloured(mean), "PNG", 2), f"{name} ({group.pictures}): at most {float(mean.max()):.1%}")


def coloured(mean: F64) -> U8:
    """float HW -> uint8 HWC; the largest value is white."""
    value = mean / mean.max() if mean.max() > 0 else mean
    rgb = np.stack([3 * value, 3 * value - 1, 3 * value - 2], axis=-1)
    return np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def image(array: U8, kind: str, zoom: int = 1) -> str:
    """A picture within the page."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    height, width = array.shape[0] * zoom, array.shape[1] * zoom
    return f"<img width='{width}' height='{height}' src='data:image/{kind.lower()};base64,{data}'>"


def as_json(runs: Mapping[str, Tally]) -> dict[str, Any]:
    """The figures of the page as plain values; bins are those of EDGES."""
    return {
        "par_bins": list(EDGES),
        "runs": {
            name: {
                "groups": {group: one.facts() for group, one in tally.groups.items()},
                "kinds": tally.kinds(),
                "pictures_with_kind": {kind: one.facts() for kind, one in tally.with_kind.items()},
                "most": [{"key": key, "par": par} for par, key, _ in tally.finds],
            }
            for name, tally in runs.items()
        },
    }
