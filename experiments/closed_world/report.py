"""results.json of the closed world, and its tables in Markdown. Reads counts, no pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import machine
from detector.score.bootstrap import Estimate, draw, estimate, resample_weights
from detector.score.counts import F64, Counts
from detector.score.metrics import point_values
from detector.score.report import table
from detector.score.store import load_counts
from experiments.closed_world.content import content_alone, matched_auroc, read_contents
from experiments.closed_world.plan import ARMS, PAIRS, TESTS, WILD, Job, Plan
from experiments.closed_world.train import job_folder, read_rows
from shards.files import write_json

RESAMPLES, BOOTSTRAP_SEED = 1000, "closed-world"
COLUMNS = (
    ("wild-test", "artifact_iou", "wild: artifact IoU"),
    ("wild-test", "pixel_ap", "wild: pixel AP"),
    ("wild-test", "image_auroc_max", "wild: image AUROC"),
    ("wild-test", "image_auroc_matched", "wild: image AUROC, same content"),
    ("faults-test", "artifact_iou", "drawn faults: artifact IoU"),
    ("faults-test", "pixel_ap", "drawn faults: pixel AP"),
    ("clean-test", "fpr_clean", "clean: FPR"),
    ("clean-test", "apaa_clean", "clean: APAA"),
)
"""Test set, metric and heading; all in percent."""
DIFFERENCES = COLUMNS[:6]
COLUMNS_A_TABLE = 3
RESULTS = "results.json"


@dataclasses.dataclass(frozen=True)
class Cell:
    """An arm with a backbone on a test set: values of each seed and the mean's resamples, by metric."""

    points: Mapping[str, list[float]]
    drawn: Mapping[str, F64]
    num_images: int

    def estimate(self, metric: str) -> Estimate:
        """The mean over seeds with its interval over images."""
        values = self.points[metric]
        mean = float(np.mean(values))
        found = estimate(mean, self.drawn[metric], self.num_images, "not defined")
        std = float(np.std(values, ddof=1)) if len(values) > 1 and not np.isnan(mean) else None
        each = tuple(None if np.isnan(value) else value for value in values)
        return dataclasses.replace(found, per_seed=each, seed_std=std)

    def minus(self, other: Cell, metric: str) -> Estimate:
        """The paired difference: every resample draws the same images on both sides."""
        value = float(np.mean(self.points[metric]) - np.mean(other.points[metric]))
        return estimate(value, self.drawn[metric] - other.drawn[metric], self.num_images, "not defined")


Cells = dict[tuple[str, str, str], Cell]
"""By (arm, backbone, test set)."""
Contents = Mapping[str, Mapping[str, tuple[str, bool]]]
"""What pictures show and whether they are broken, by set and key."""


def load_contents(plan: Plan, out: Path) -> Contents:
    """Of the wild test set and, where they are there, of the oracle's training pictures. Raises UserErrors."""
    where = {"wild-test": f"{plan.sets}/wild-test", WILD: str(out / WILD)}
    return {name: read_contents(path) for name, path in where.items() if Path(path).is_dir()}


def load_cells(plan: Plan, out: Path, resamples: int = RESAMPLES, contents: Contents | None = None) -> Cells:
    """Every arm and backbone of which all seeds are done."""
    rows = {(row["arm"], row["backbone"], row["seed"]) for row in read_rows(out, plan.jobs())}
    cells: Cells = {}
    for arm in ARMS:
        for backbone in plan.backbones:
            jobs = [Job(arm, backbone, seed) for seed in range(plan.seeds)]
            if all((job.arm, job.backbone, job.seed) in rows for job in jobs):
                for test in TESTS:
                    counts = [load_counts(job_folder(out, job) / test)[0] for job in jobs]
                    cells[arm, backbone, test] = make_cell(counts, resamples, (contents or {}).get(test))
    return cells


def make_cell(counts: Sequence[Counts], resamples: int, contents: Mapping[str, tuple[str, bool]] | None = None) -> Cell:
    """Seeds were counted at thresholds of their own; the counts hold that, so the field may be set alike.

    Without `contents` the AUROC among pictures of the same content is not defined.
    """
    alike = [dataclasses.replace(one, threshold=0.5) for one in counts]
    points = [point_values(one) for one in alike]
    by_metric = {metric: [point[metric] for point in points] for metric in points[0]}
    drawn, size = draw(alike, (), resamples, BOOTSTRAP_SEED), len(alike[0].keys)
    each = [matched(one, np.ones((1, size)), contents) for one in alike]
    by_metric["image_auroc_matched"] = [float(one[0]) for one in each]
    chunks = resample_weights(size, resamples, BOOTSTRAP_SEED) if size > 1 else ()
    means = [np.mean([matched(one, weights, contents) for one in alike], axis=0) for weights in chunks]
    drawn["image_auroc_matched"] = np.concatenate(means) if means else np.zeros(0)
    return Cell(by_metric, drawn, size)


def matched(counts: Counts, weights: F64, contents: Mapping[str, tuple[str, bool]] | None) -> F64:
    """float64 [B] for weights [B, N]: the image AUROC (maximum) among pictures of the same content."""
    if contents is None:
        return np.full(len(weights), np.nan)
    there = counts.valid > 0
    shown = [contents[key][0] for key, counted in zip(counts.keys, there, strict=True) if counted]
    return matched_auroc(weights[:, there], counts.max_score[there], counts.artifact[there] > 0, shown)


def write_results(
    plan: Plan, out: Path, stages: Mapping[str, float], cells: Cells | None = None, contents: Contents | None = None
) -> dict[str, Any]:
    """OUT/results.json: a row for each finished (arm, backbone, seed); with `cells` also means and differences."""
    results: dict[str, Any] = {
        "schema": "blemish-closed-world",
        "schema_version": 1,
        "plan": dataclasses.asdict(plan),
        "machine": machine(),
        "stages_seconds": dict(stages),
        "rows": read_rows(out, plan.jobs()),
        "trainings": len(plan.jobs()),
    }
    if cells is not None:
        results["bootstrap"] = {"unit": "image", "resamples": RESAMPLES, "seed": BOOTSTRAP_SEED, "level": 0.95}
        results["means"] = means(cells)
        results["differences"] = differences(plan, cells)
    if contents and {WILD, "wild-test"} <= contents.keys():
        results["content_alone"] = content_alone(contents[WILD], contents["wild-test"])
    write_json(out / RESULTS, results)
    return results


def means(cells: Cells) -> list[dict[str, Any]]:
    """Every metric of every cell, ratios 0..1."""
    return [
        {"arm": arm, "backbone": backbone, "test": test, **as_json({m: cell.estimate(m) for m in cell.points})}
        for (arm, backbone, test), cell in cells.items()
    ]


def differences(plan: Plan, cells: Cells) -> list[dict[str, Any]]:
    """The pairs of PAIRS, first minus second, on every test set."""
    found = []
    for first, second in PAIRS:
        for backbone in plan.backbones:
            for test in TESTS:
                one, other = cells.get((first, backbone, test)), cells.get((second, backbone, test))
                if one is not None and other is not None:
                    told = as_json({metric: one.minus(other, metric) for metric in one.points})
                    found.append({"first": first, "second": second, "backbone": backbone, "test": test, **told})
    return found


def as_json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {"metrics": {name: dataclasses.asdict(one) for name, one in estimates.items()}}


def as_markdown(results: Mapping[str, Any]) -> str:
    """Tables of means and differences for each backbone, and one of what they show. Needs `means`, `differences`."""
    plan = results["plan"]
    parts = []
    seeds = f"{plan['seeds']} seed{'s' if plan['seeds'] > 1 else ''}"
    for backbone in plan["backbones"]:
        parts += [f"**{backbone}**, {seeds}. Means, in percent:", *arm_tables(results, backbone)]
        parts += [f"**{backbone}**, paired differences, in points:", *pair_tables(results, backbone)]
    return "\n\n".join([*parts, *shows(results)]) + "\n"


def arm_tables(results: Mapping[str, Any], backbone: str) -> list[str]:
    """A row an arm, three metrics a table: means over seeds with intervals, and the standard deviation over seeds."""
    rows = []
    for arm in ARMS:
        found = {one["test"]: one for one in results["means"] if (one["arm"], one["backbone"]) == (arm, backbone)}
        if found:
            trained = next(r["trained_on"] for r in results["rows"] if (r["arm"], r["backbone"]) == (arm, backbone))
            cells = [percent(found[test]["metrics"][metric]) for test, metric, _ in COLUMNS]
            rows.append([arm, *cells, f"{trained['artifact']} / {trained['clean']}"])
    return tables("arm", [*(heading for *_, heading in COLUMNS), "artifact / clean samples"], rows)


def pair_tables(results: Mapping[str, Any], backbone: str) -> list[str]:
    """A row a pair, three metrics a table: paired differences."""
    rows = []
    for first, second in PAIRS:
        found = {
            one["test"]: one
            for one in results["differences"]
            if (one["first"], one["second"], one["backbone"]) == (first, second, backbone)
        }
        if found:
            cells = [percent(found[test]["metrics"][metric], signed=True) for test, metric, _ in DIFFERENCES]
            rows.append([f"{first} - {second}", *cells])
    return tables("difference", [heading for *_, heading in DIFFERENCES], rows)


def tables(corner: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows whose first cell names them, split into tables that fit a page."""
    cuts = range(0, len(headings), COLUMNS_A_TABLE)
    return [
        table(
            [corner, *headings[cut : cut + COLUMNS_A_TABLE]],
            [[row[0], *row[1 + cut : 1 + cut + COLUMNS_A_TABLE]] for row in rows],
        )
        for cut in cuts
    ]


def percent(one: Mapping[str, Any], signed: bool = False) -> str:
    """ "23.10 (21.50 to 24.80), sd 0.60"; differences have no sd."""
    if one["value"] is None:
        return "n/a"
    sign = "+" if signed else ""
    text = f"{100 * one['value']:{sign}.2f}"
    if one["low"] is not None:
        text += f" ({100 * one['low']:{sign}.2f} to {100 * one['high']:{sign}.2f})"
    return text if one["seed_std"] is None else f"{text}, sd {100 * one['seed_std']:.2f}"


def shows(results: Mapping[str, Any]) -> list[str]:
    """A row a pair: higher, lower, or `same` where the interval of the difference holds 0, for each backbone."""
    backbones, rows = results["plan"]["backbones"], []
    for first, second in PAIRS:
        found = [one for one in results["differences"] if (one["first"], one["second"]) == (first, second)]
        if found:
            cells = [
                " / ".join(verdict(one["metrics"][metric]) for one in found if one["test"] == test)
                for test, metric, _ in DIFFERENCES
            ]
            rows.append([f"{first} vs {second}", *cells])
    parts = [f"In words, {' / '.join(backbones)}; `same` where the 95% interval of the difference holds 0:"]
    parts += tables("arm", [heading for *_, heading in DIFFERENCES], rows)
    if "content_alone" in results:
        parts.append(
            "The captions of the wild test pictures alone, scored by how often pictures that name the same things are\n"
            f"broken in the oracle's arm, reach an image AUROC of {100 * results['content_alone']:.2f}%."
        )
    return parts if rows else []


def verdict(one: Mapping[str, Any]) -> str:
    """In words, where the interval of a difference lies."""
    if one["low"] is None:
        return "no interval"
    return "higher" if one["low"] > 0 else "lower" if one["high"] < 0 else "same"
