"""The report of `experiments.purity`: figures of all rows as JSON, and the tables for the docs as Markdown."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corruptor.line.config import LineConfig
from corruptor.machine import machine
from experiments.purity.count import Component, Row, calibrate, halves, picture_figures, purity
from experiments.purity.labels import label_figures
from experiments.purity.opinion import opinion_figures
from shards.files import make_folder, write_bytes, write_json
from shards.markdown import table


def write_purity(
    out: Path,
    rows: Sequence[Row],
    noised: set[str],
    config: LineConfig,
    split: str,
    first: int,
    opinions: Sequence[str] = (),
) -> None:
    """Write OUT/purity.json and OUT/purity.md, and print the latter.

    noised: the settings on which the threshold is calibrated, together.
    """
    from experiments.purity.make import measures_of, metric_name

    verification = config.corruption.verification
    used = metric_name(verification.metric, verification.pixel_threshold)
    by_setting: dict[str, list[Row]] = {}
    for row in rows:
        by_setting.setdefault(row.setting, []).append(row)
    together = [row for row in rows if row.setting in noised]
    facts = {
        "command": "python -m experiments.purity " + shlex.join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "model": config.model.folder,
        "sources": len({row.image for row in rows}),
        "split": split,
        "first_scene": first,
        "metric": used,
        "threshold": float(verification.threshold),
        "calibration": [calibrate(together, name) for name in (*measures_of(verification), *opinions)]
        if together
        else [],
        "opinions": [opinion_figures(together, used, verification.threshold, name) for name in opinions if together],
        "calibration_by_setting": {name: calibrate(by_setting[name], used) for name in by_setting if name in noised},
        "labels": {name: label_figures(by_setting[name]) for name in by_setting if name in noised},
        "purity": {
            name: purity_of(own, used, verification.threshold, halves(together, used))
            for name, own in by_setting.items()
        },
    }
    make_folder(out)
    write_json(out / "purity.json", finite(facts))
    text = markdown(facts)
    write_bytes(out / "purity.md", text.encode())
    print(text)


def purity_of(rows: Sequence[Row], metric: str, threshold: float, calibrated: Mapping[int, float]) -> dict[str, Any]:
    """The figures of one setting: as masked, dropped at the config's threshold, and at the calibrated one."""

    def passes_config(row: Row, one: Component) -> bool:
        return one.scores[metric] >= threshold

    def passes_calibrated(row: Row, one: Component) -> bool:
        return one.scores[metric] >= calibrated[row.image % 2]

    known = all(map(math.isfinite, calibrated.values()))
    return {
        **picture_figures(rows),
        "kept": purity(rows, lambda row, one: True),
        "dropped": purity(rows, passes_config),
        "dropped_calibrated": purity(rows, passes_calibrated) if known else {},
    }


# --- words ----------------------------------------------------------------------------------------------------------


def markdown(facts: Mapping[str, Any]) -> str:
    """The tables with the command, the machine and the date below them."""
    told = facts["machine"]
    return "\n\n".join(
        [
            "## Visibility threshold",
            _table(facts["calibration"], THRESHOLD_COLUMNS),
            f"`{facts['metric']}` by start step:",
            _table([{"setting": name, **one} for name, one in facts["calibration_by_setting"].items()], STEP_COLUMNS),
            "## Label purity",
            f"Dropped: components with `{facts['metric']}` below the config's {facts['threshold']:g}; "
            "or below the threshold calibrated on the other half of the pictures.",
            _table([{"setting": name, **one} for name, one in facts["purity"].items()], PURITY_COLUMNS),
            _table([{"setting": name, **one} for name, one in facts["purity"].items()], PICTURE_COLUMNS),
            *opinion_words(facts["opinions"]),
            "Pixels of the labels, of the pictures that keep one:",
            _table([{"setting": s, **one} for s, many in facts["labels"].items() for one in many], LABEL_COLUMNS),
            f"`{facts['command']}`: {facts['sources']} sources, {told['processor']}, {told['cores']} cores, "
            f"{facts['date']}. In brackets 95% intervals: Wilson for shares of components and pictures, "
            "else bootstrap over pictures.\n",
        ]
    )


def opinion_words(opinions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The section on second opinions, where there are any."""
    if not opinions:
        return []
    alone = [{**one, "opinion": "change alone", "with_opinion": one["change_alone"]} for one in opinions[:1]]
    told = "Components that changed enough and whose score rises by what was chosen on the other half of the pictures:"
    return ["## Second opinion", told, _table([*alone, *opinions], OPINION_COLUMNS)]


def percent(one: Mapping[str, Any]) -> str:
    """A share with its interval."""
    if not one["of"] or math.isnan(one["share"]):
        return "n/a"
    return f"{100 * one['share']:.1f}% ({100 * one['low']:.1f} to {100 * one['high']:.1f})"


def interval(name: str) -> Callable[[Mapping[str, Any]], str]:
    """A column: the number under a name with its `_interval`."""

    def cell(row: Mapping[str, Any]) -> str:
        low, high = row[f"{name}_interval"]
        return f"{row[name]:.3g} ({low:.3g} to {high:.3g})" if math.isfinite(row[name]) else "n/a"

    return cell


def inside(*names: str) -> Callable[[Mapping[str, Any]], str]:
    """A column: the share at a path of names; n/a where it is not there."""

    def cell(row: Mapping[str, Any]) -> str:
        value: Any = row
        for name in names:
            value = value.get(name, {})
        return percent(value) if value else "n/a"

    return cell


Columns = Mapping[str, Callable[[Mapping[str, Any]], str]]
_SEPARATION: Columns = {
    "components": lambda row: str(row["components"]),
    "with a fault": lambda row: str(row["with_fault"]),
    "AUROC": interval("auroc"),
    "best threshold": interval("threshold"),
    "balanced accuracy": lambda row: f"{row['balanced_accuracy']:.3f}",
    "precision": inside("precision"),
    "recall": inside("recall"),
}
THRESHOLD_COLUMNS: Columns = {"metric": lambda row: f"`{row['metric']}`", **_SEPARATION}
STEP_COLUMNS: Columns = {"setting": lambda row: row["setting"], **_SEPARATION}
PURITY_COLUMNS: Columns = {
    "setting": lambda row: row["setting"],
    "components": lambda row: str(row["kept"]["components"]),
    "with a fault": inside("kept", "with_fault"),
    "after `drop`": inside("dropped", "with_fault"),
    "dropped": inside("dropped", "dropped"),
    "after `drop`, calibrated": inside("dropped_calibrated", "with_fault"),
    "dropped, calibrated": inside("dropped_calibrated", "dropped"),
}
PICTURE_COLUMNS: Columns = {
    "setting": lambda row: row["setting"],
    "pictures": lambda row: str(row["pictures"]),
    "pictures with a fault": inside("pictures_with_fault"),
    "fault pixels outside the masks": inside("kept", "leak"),
    "after `drop`": inside("dropped", "leak"),
    "beyond one cell": inside("leak_far"),
    "change inside / outside": lambda row: f"{row['change_inside']:.2f} / {row['change_outside']:.2f}",
}


OPINION_COLUMNS: Columns = {
    "second opinion": lambda row: row["opinion"],
    "least rise": lambda row: "" if row["opinion"] == "change alone" else f"{row['rise_of_all']:.3g}",
    "purity": inside("with_opinion", "purity"),
    "faulty ones kept": inside("with_opinion", "recall"),
}
LABEL_COLUMNS: Columns = {
    "setting": lambda row: row["setting"],
    "rule": lambda row: row["rule"],
    "pictures left": inside("pictures_left"),
    "pixels a label": lambda row: f"{row['pixels_a_label']:.0f}",
    "precision": inside("precision"),
    "recall": inside("recall"),
    "IoU": inside("iou"),
}


def _table(rows: Sequence[Mapping[str, Any]], columns: Columns) -> str:
    return table(list(columns), [[cell(row) for cell in columns.values()] for row in rows])


def finite(value: Any) -> Any:
    """The same plain values with null for what is not a number, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
