"""Plots of a grid: a metric against the arms' value, or arm by arm; change inside and outside the masks."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablation.blocks import Figure
from ablation.report import NAMES, PERCENT, metrics_of
from shards.files import make_folder, write_bytes

COLOURS = ("#1f6feb", "#d1242f", "#2da44e", "#9a6700", "#8250df", "#57606a")
MARKERS = "osD^vP"
PLOTTED = 2
"""Metrics of a test set that are drawn."""


def write_plots(out: Path, results: Mapping[str, Any]) -> list[Figure]:
    """OUT/plots/*.png. Raises OutputError."""
    make_folder(out / "plots")
    figures = []
    has_axis = any(arm["value"] is not None for arm in results["grid"]["arms"])
    for test in results["grid"]["tests"]:
        metrics = metrics_of(results, test)[:PLOTTED]
        if metrics and results["means"]:
            name = f"scores_{slug(test)}.png"
            drawn = against_value(results, test, metrics) if has_axis else arm_by_arm(results, test, metrics)
            write_bytes(out / "plots" / name, drawn)
            axis = f" against {results['grid']['axis']}" if has_axis else ""
            told = " and ".join(NAMES[metric] for metric in metrics)
            figures.append(Figure(out / "plots" / name, f"{told} on {test}{axis}, 95% intervals over pictures"))
    if any(facts.get("inside") for facts in results["samples"].values()):
        write_bytes(out / "plots" / "change.png", change(results))
        text = "mean change against the source's round trip, 0 to 255, inside and outside the masks; bars are quartiles"
        figures.append(Figure(out / "plots" / "change.png", text))
    return figures


def slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def against_value(results: Mapping[str, Any], test: str, metrics: Sequence[str]) -> bytes:
    """Points with intervals; arms of one series and backbone are joined, arms without a value are levels."""
    figure, axes = new_figure(len(metrics))
    for axis, metric in zip(axes, metrics, strict=True):
        for number, (label, points) in enumerate(series_of(results, test, metric).items()):
            colour = COLOURS[number % len(COLOURS)]
            if points[0][0] is None:
                axis.axhline(points[0][1], color=colour, linestyle="--", linewidth=1, label=label)
                continue
            xs, ys = [p[0] for p in points], [p[1] for p in points]
            spans = [[p[1] - p[2] for p in points], [p[3] - p[1] for p in points]]
            style = {"marker": MARKERS[number % len(MARKERS)], "markersize": 4, "capsize": 2, "linewidth": 1.2}
            axis.errorbar(xs, ys, spans, color=colour, label=label, **style)
        axis.set_xlabel(results["grid"]["axis"])
        axis.set_ylabel(unit(metric))
        if results["grid"]["log_axis"]:
            axis.set_xscale("log")
    add_legend(figure, axes[0])
    return as_png(figure)


def add_legend(figure: Any, axis: Any) -> None:
    """Below the plots, where it hides no point."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7, frameon=False)


def series_of(results: Mapping[str, Any], test: str, metric: str) -> dict[str, list[tuple[Any, float, float, float]]]:
    """Label -> (value, mean, low, high) in the order of values."""
    found: dict[str, list[tuple[Any, float, float, float]]] = {}
    several = len(results["grid"]["backbones"]) > 1
    arms = {arm["name"]: arm for arm in results["grid"]["arms"]}
    for one in results["means"]:
        told, arm = one["metrics"][metric], arms[one["arm"]]
        if one["test"] != test or told["value"] is None:
            continue
        name = (arm["series"] or "arms") if arm["value"] is not None else arm["name"]
        label = f"{name}, {one['backbone']}" if several else name
        found.setdefault(label, []).append((arm["value"], *span_of(told, metric)))
    return {label: sorted(points, key=lambda point: point[0] or 0) for label, points in found.items()}


def span_of(told: Mapping[str, Any], metric: str) -> tuple[float, float, float]:
    """Mean, low, high as drawn."""
    scale = 100 if PERCENT[metric] else 1
    low, high = (told[name] if told[name] is not None else told["value"] for name in ("low", "high"))
    return scale * told["value"], scale * low, scale * high


def arm_by_arm(results: Mapping[str, Any], test: str, metrics: Sequence[str]) -> bytes:
    """A row an arm, a point with its interval for each backbone."""
    names = [arm["name"] for arm in results["grid"]["arms"]]
    backbones = results["grid"]["backbones"]
    figure, axes = new_figure(len(metrics), 1.2 + 0.32 * len(names) * max(1, len(backbones) / 2))
    for axis, metric in zip(axes, metrics, strict=True):
        for number, backbone in enumerate(backbones):
            for one in results["means"]:
                told = one["metrics"][metric]
                if (one["test"], one["backbone"]) != (test, backbone) or told["value"] is None:
                    continue
                mean, low, high = span_of(told, metric)
                y = names.index(one["arm"]) + 0.2 * (number - (len(backbones) - 1) / 2)
                style = {"fmt": MARKERS[number % len(MARKERS)], "markersize": 4, "capsize": 2}
                axis.errorbar(mean, y, xerr=[[mean - low], [high - mean]], color=COLOURS[number % 6], **style)
            axis.errorbar([], [], color=COLOURS[number % 6], fmt=MARKERS[number % len(MARKERS)], label=backbone)
        axis.set_yticks(range(len(names)), names if axis is axes[0] else [""] * len(names), fontsize=8)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_xlabel(unit(metric))
    if len(backbones) > 1:
        add_legend(figure, axes[0])
    return as_png(figure)


def change(results: Mapping[str, Any]) -> bytes:
    """Median change inside and outside the masks with quartiles, against value or arm by arm."""
    arms = [arm for arm in results["grid"]["arms"] if (results["samples"].get(arm["name"]) or {}).get("inside")]
    has_axis = all(arm["value"] is not None for arm in arms)
    figure, axes = new_figure(1)
    for number, where in enumerate(("inside", "outside")):
        drawn = [(i, arm) for i, arm in enumerate(arms) if results["samples"][arm["name"]].get(where)]
        facts = [results["samples"][arm["name"]][where] for _, arm in drawn]
        xs = [arm["value"] if has_axis else i for i, arm in drawn]
        ys = [one["median"] for one in facts]
        spans = [[one["median"] - one["q25"] for one in facts], [one["q75"] - one["median"] for one in facts]]
        style = {"marker": MARKERS[number], "markersize": 4, "capsize": 2, "linestyle": "" if not has_axis else "-"}
        axes[0].errorbar(xs, ys, spans, color=COLOURS[number], label=where, **style)
    if has_axis:
        axes[0].set_xlabel(results["grid"]["axis"])
    else:
        axes[0].set_xticks(range(len(arms)), [arm["name"] for arm in arms], rotation=30, ha="right", fontsize=8)
    axes[0].set_ylabel("mean change, 0 to 255")
    axes[0].legend(fontsize=8, frameon=False)
    return as_png(figure)


def unit(metric: str) -> str:
    return f"{NAMES[metric]}, %" if PERCENT[metric] else NAMES[metric]


def new_figure(columns: int, height: float = 3.4) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(4.6 * columns, height), layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes


def as_png(figure: Any) -> bytes:
    """Without the hour, so that equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
