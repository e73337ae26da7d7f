"""The report: one JSON schema, a Markdown table, and a row an image."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.score.bootstrap import LEVEL, Estimate
from detector.score.counts import COLUMNS, NUM_BINS, Counts
from detector.score.counts_io import save_counts
from detector.score.eval_size import RESIZE
from detector.score.heatmaps import HEAT_SCORES
from detector.score.metrics import METRICS, NUM_CALIBRATION_BINS, Metric, best_threshold, image_iou, image_par
from detector.score.read import some
from detector.score.truth import truth_summary
from shards.files import make_folder, write_bytes, write_json
from shards.markdown import table

SCHEMA, SCHEMA_VERSION = "blemish-scores", 1
NUM_NAMED = 5
"""Missing and extra files named in the report; all are counted."""


@dataclass(frozen=True)
class Report:
    """Everything that is written."""

    results: Sequence[Counts]
    """One for each training seed."""
    estimates: Mapping[str, Estimate]
    resamples: int
    seed: str
    predictions: Sequence[str] = ()
    truth: Sequence[str] = ()
    missing: Sequence[str] = ()
    extra: Sequence[str] = ()
    reference: str = ""
    """Where the other side of `differences` was scored."""
    differences: Mapping[str, Estimate] = field(default_factory=dict)


def as_json(report: Report) -> dict[str, Any]:
    """Plain values; the schema is in docs/reference/scores.md. n/a is null, with a reason."""
    first = report.results[0]
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "settings": {
            "kind": first.kind,
            "threshold": first.threshold,
            "meet": first.meet,
            "resize": {**RESIZE, "truth": RESIZE["masks"]},
            "truth_of_heat_scores": "heat maps" if first.soft_truth else "masks",
            "score_bins": NUM_BINS,
            "calibration_bins": NUM_CALIBRATION_BINS,
            "bootstrap": {"unit": "image", "resamples": report.resamples, "seed": report.seed, "level": LEVEL},
        },
        "truth": {"shards": list(report.truth), **data_of(first)},
        "training_seeds": len(report.results),
        "predictions": [seed_json(report, i) for i in range(len(report.results))],
        "missing": named(report.missing),
        "extra": named(report.extra),
        "metrics": {metric.key: metric_json(metric, report.estimates[metric.key]) for metric in METRICS},
        "notes": notes(report),
    }
    if report.differences:
        rows = {metric.key: metric_json(metric, report.differences[metric.key]) for metric in METRICS}
        for row in rows.values():
            del row["per_seed"], row["seed_std"]
        found["differences"] = {"reference": report.reference, "sign": "this minus reference", "metrics": rows}
    return found


def data_of(counts: Counts) -> dict[str, int]:
    """Numbers of images and pixels of the truth that was scored."""
    return truth_summary(counts.artifact, counts.valid, counts.numbers[:, 2])


def seed_json(report: Report, index: int) -> dict[str, Any]:
    """Integer counts of one training seed."""
    counts = report.results[index]
    return {
        "where": report.predictions[index] if report.predictions else "",
        **dict(zip(COLUMNS[3:7], (int(value) for value in counts.hits.sum(axis=0)), strict=True)),
        "images_predicted": int((counts.predicted > 0).sum()),
        "resized": counts.resized,
        "stretched": counts.stretched,
        "oracle_threshold": best_threshold(counts),
    }


def named(names: Sequence[str]) -> dict[str, Any]:
    """How many, and the first few."""
    return {"count": len(names), "first": list(names[:NUM_NAMED])}


def metric_json(metric: Metric, estimate: Estimate) -> dict[str, Any]:
    """One metric; ratios are 0..1, never percent."""
    plain = {**dataclasses.asdict(estimate), "per_seed": list(estimate.per_seed)}
    return {"name": metric.name, "higher_is_better": metric.higher_is_better, **plain}


def notes(report: Report) -> list[str]:
    """What a reader must know beside the figures, a sentence each."""
    first, data = report.results[0], data_of(report.results[0])
    stretched, resized = (sum(getattr(one, name) for one in report.results) for name in ("stretched", "resized"))
    facts = [
        (data["images"] == 1, "One image only: no intervals."),
        (not data["artifact_images"], "The truth has no artifact pixel: artifact metrics are n/a."),
        (not data["clean_images"], "The truth has no image without artifact pixels: FPR and APAA are n/a."),
        (first.kind == "masks", "The predictions are masks: metrics that need scores are n/a."),
        (data["fully_ignored_images"], f"{data['fully_ignored_images']} images have no pixel that counts."),
        (report.missing, f"{len(report.missing)} truth samples had no prediction and were left out (allowed)."),
        (report.extra, f"{len(report.extra)} files belong to no truth sample: {some(report.extra, NUM_NAMED)}."),
        (resized, f"{resized} predictions were resized, {stretched} of them to another aspect ratio."),
    ]
    found = [text for holds, text in facts if holds]
    short = [one.resamples for one in report.estimates.values() if 0 < one.resamples < report.resamples]
    if short:
        found.append(f"Some intervals rest on fewer resamples, at least {min(short)}: the others had no such images.")
    return found


def number(value: float | None, metric: Metric, signed: bool = False) -> str:
    """A figure as the table shows it: percent with two decimals, others with four."""
    if value is None:
        return "n/a"
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.2f}" if metric.percent else f"{value:{sign}.4f}"


def row(metric: Metric, one: Estimate, signed: bool = False) -> list[str]:
    """Cells: name, value, interval."""
    name = f"{metric.name}, %" if metric.percent else metric.name
    value = number(one.value, metric, signed) if one.value is not None else f"n/a ({one.reason})"
    if one.low is None:
        return [name, value, "n/a" if one.value is not None else ""]
    return [name, value, f"{number(one.low, metric, signed)} .. {number(one.high, metric, signed)}"]


def as_markdown(report: Report) -> str:
    """The table, with what it was made from above and the notes below."""
    first, data, seeds = report.results[0], data_of(report.results[0]), len(report.results)
    meet = {"truth": "the truth's size", "same": "equal sizes"}.get(first.meet, f"{first.meet}x{first.meet} pixels")
    head = (
        f"{data['images']} images, {data['artifact_images']} with artifacts and {data['clean_images']} clean; "
        f"{seeds} training seed{'s' if seeds > 1 else ''}; {first.kind}, threshold {first.threshold:g}; "
        f"meeting at {meet}; "
        f"95% intervals from {report.resamples} bootstrap resamples of images, seed '{report.seed}'."
    )
    columns = ["metric", "value" if seeds == 1 else "mean of seeds", "95% interval"]
    rows = [row(metric, report.estimates[metric.key]) for metric in METRICS]
    if seeds > 1:
        columns.append("seed std")
        for metric, cells in zip(METRICS, rows, strict=True):
            std = report.estimates[metric.key].seed_std
            cells.append("" if std is None else number(std, metric))
    parts = [head, table(columns, rows, aligned=True)]
    if report.differences:
        rows = [row(metric, report.differences[metric.key], signed=True) for metric in METRICS]
        parts += [f"Paired difference, this minus {report.reference}, on the same images:"]
        parts += [table(["metric", "difference", "95% interval"], rows, aligned=True)]
    return "\n\n".join([*parts, *(f"- {note}" for note in notes(report))]) + "\n"


def as_csv(report: Report) -> str:
    """One row for each image and training seed; an empty cell is n/a."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["key", "training_seed", *COLUMNS, "artifact_iou", "par", "max_score", *HEAT_SCORES])
    for seed, counts in enumerate(report.results, start=1):
        iou, par = image_iou(counts), image_par(counts)
        for i, key in enumerate(counts.keys):
            floats = [iou[i], par[i], counts.max_score[i], *counts.heat[i]]
            cells = ["" if math.isnan(value) else f"{value:.6g}" for value in floats]
            writer.writerow([key, seed, *counts.numbers[i].tolist(), *cells])
    return buffer.getvalue()


def write_report(out: Path, report: Report) -> None:
    """Write scores.json, scores.md, per_image.csv and counts.npz, each whole or not at all. Raises OutputError."""
    make_folder(out)
    write_bytes(out / "per_image.csv", as_csv(report).encode("utf-8", "backslashreplace"))
    save_counts(out, report.results)
    write_bytes(out / "scores.md", as_markdown(report).encode("utf-8", "backslashreplace"))
    write_json(out / "scores.json", as_json(report))
