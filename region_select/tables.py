"""The report in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shards.markdown import table

WORDS = {
    "no_region": "pictures without a region",
    "mean_area": "mean area selected",
    "mean_area_where_any": "mean area where any is selected",
    "truth_empty": "pictures without a fault",
    "truth_mean_area": "mean area of the faults",
    "coverage": "faulty pixels that are selected",
    "precision": "selected pixels that are faulty",
    "artifact_iou": "artifact IoU",
    "components_touched": "faults that a region touches",
}
DISTANCES = (("selected", "sources"), ("selected_on_truth", "labelled pictures"), ("pixels", "anywhere by chance"))


def markdown(told: Mapping[str, Any]) -> str:
    """All tables; intervals are 95% over pictures."""
    lines = [
        f"# Regions of {told['config']}",
        "",
        f"Policy `{told['region']['policy']}`. In brackets: 95% intervals, bootstrapped over pictures.",
        "",
    ]
    lines += figure_table(told)
    if "learned" in told:
        lines += tau_table(told["learned"])
    lines += area_table(told["areas"])
    for level, title in (("kinds", "objects"), ("parts", "parts of objects")):
        lines += kind_table(told[level], told[f"{level}_distance"], title)
    return "\n".join(lines) + "\n"


def figure_table(told: Mapping[str, Any]) -> list[str]:
    """Ratios on both sets."""
    head = ("", f"{told['num_sources']} sources", f"{told['num_truth']} labelled pictures")
    rows = [
        (meaning, *(interval(told[part].get(name)) for part in ("on_sources", "on_truth")))
        for name, meaning in WORDS.items()
    ]
    return [table(head, rows, numbers=True), ""]


def tau_table(told: Mapping[str, Any]) -> list[str]:
    """What other values of tau would select."""
    head = ("tau", "sources without a region", "mean area", "labelled pictures without", "mean area")
    names = ("sources_without", "sources_area", "truth_without", "truth_area")
    rows = [(f"{row['tau']:g}", *(percent(row[name]) for name in names)) for row in told["sweep"]]
    return [
        "## Tau",
        "",
        f"Tau is {told['tau']:.4f}; labels mark {percent(told['label_area'])} of a picture on average, and on these "
        f"sources tau {told['tau_matching_sources']:.4f} selects as much. "
        f"Regions by fallback: {told['fallbacks_on_sources']}.",
        "",
        table(head, rows, numbers=True),
        "",
    ]


def area_table(told: Mapping[str, Any]) -> list[str]:
    """Quantiles of the areas."""
    apart = "n/a" if told["ks_distance"] is None else f"{told['ks_distance']:.3f}"
    head = ("quantile, of pictures with any", *(f"{q:.0%}" for q in told["quantiles"]))
    rows = [
        (whose, *map(percent, told[name] or [None] * len(told["quantiles"])))
        for name, whose in (("truth", "true faults"), ("selected", "regions of the sources"))
    ]
    return ["## Areas", "", table(head, rows, numbers=True), "", f"Kolmogorov-Smirnov distance: {apart}.", ""]


def kind_table(rows: Sequence[Mapping[str, Any]], apart: Mapping[str, Any], title: str) -> list[str]:
    """p_w beside p_s, kind by kind."""
    told = ", ".join(f"{name} {'n/a' if apart[key] is None else format(apart[key], '.3f')}" for key, name in DISTANCES)
    head = ("", "true faults", "regions of sources", "regions of labelled", "all pixels", "broken of it")
    names = ("truth", "selected", "selected_on_truth", "pixels", "broken_rate", "selected_rate")
    cells = [(row["kind"], *(percent(row[name]) for name in names)) for row in rows]
    shown = table((*head, "selected of it"), cells, numbers=True)
    return [f"## By {title}", "", shown, "", f"Total variation from the true faults: {told}.", ""]


def percent(value: float | None) -> str:
    """ "12.3%", "n/a" for None."""
    return "n/a" if value is None else f"{100 * value:.1f}%"


def interval(told: Mapping[str, Any] | None) -> str:
    """ "12.3% (10.1 to 14.0)"; "" where the figure does not apply."""
    if told is None:
        return ""
    if told["value"] is None or told["low"] is None:
        return percent(told["value"])
    return f"{percent(told['value'])} ({100 * told['low']:.1f} to {100 * told['high']:.1f})"
