"""From results (rows.collect) to tables, sentences and pages. Pure but for `write_report`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablation.blocks import Block, Bullets, Figure, Heading, Table, Text, as_html, as_markdown
from ablation.grid import MATCHED
from detector.score.metrics import METRICS
from shards.files import write_bytes

MARKDOWN, PAGE = "report.md", "index.html"
NAMES = {metric.key: metric.name for metric in METRICS} | {
    MATCHED: "image AUROC (max), same content",
    "artifact_iou": "artifact IoU",
    "image_auroc_max": "image AUROC",
    "fpr_clean": "FPR",
    "apaa_clean": "APAA",
}
PERCENT = {metric.key: metric.percent for metric in METRICS} | {MATCHED: True}
CLEAN = ("fpr_clean", "apaa_clean")
"""What is shown of sets without artifacts."""
MOST_COLUMNS = 6
"""Metrics in a table: with the arm's name it fits a page."""
IN_SENTENCES = 2
"""Metrics of a test set that sentences tell of, and the one among pictures of the same content."""


def metrics_of(results: Mapping[str, Any], test: str) -> list[str]:
    """The grid's metrics that are defined on a test set for any arm; on a set of clean pictures those of clean ones."""
    found = [one["metrics"] for one in results["means"] if one["test"] == test]
    defined = [
        name for name in (*results["grid"]["metrics"], *CLEAN) if any(f[name]["value"] is not None for f in found)
    ]
    wanted = [name for name in dict.fromkeys(defined) if name in results["grid"]["metrics"]]
    return (wanted or [name for name in CLEAN if name in defined])[:MOST_COLUMNS]


def number(value: float, metric: str, signed: bool = False) -> str:
    """Percent with one decimal, others with four."""
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f}" if PERCENT[metric] else f"{value:{sign}.4f}"


def cell(one: Mapping[str, Any], metric: str, signed: bool = False) -> str:
    """ "23.1 (21.5 to 24.8), sd 0.6"; differences have no sd."""
    if one["value"] is None:
        return "n/a"
    text = number(one["value"], metric, signed)
    if one["low"] is not None:
        text += f" ({number(one['low'], metric, signed)} to {number(one['high'], metric, signed)})"
    return text if one["seed_std"] is None else f"{text}, sd {number(one['seed_std'], metric)}"


def heading_of(metric: str, unit: str = "%") -> str:
    return f"{NAMES[metric]}, {unit}" if PERCENT[metric] else NAMES[metric]


def score_table(results: Mapping[str, Any], backbone: str, test: str) -> Table | None:
    """A row an arm: means over seeds with intervals."""
    metrics = metrics_of(results, test)
    found = {
        one["arm"]: one["metrics"] for one in results["means"] if (one["backbone"], one["test"]) == (backbone, test)
    }
    names = [arm["name"] for arm in results["grid"]["arms"] if arm["name"] in found]
    rows = tuple((name, *(cell(found[name][metric], metric) for metric in metrics)) for name in names)
    if not rows or not metrics:
        return None
    return Table(f"{test}, {backbone}", ("arm", *(heading_of(metric) for metric in metrics)), rows)


def difference_table(results: Mapping[str, Any], backbone: str, test: str) -> Table | None:
    """A row a pair: paired differences in percentage points."""
    metrics = metrics_of(results, test)
    rows = tuple(
        (
            f"{one['first']} - {one['second']}",
            *(cell(one["metrics"][metric], metric, signed=True) for metric in metrics),
        )
        for one in results["differences"]
        if (one["backbone"], one["test"]) == (backbone, test)
    )
    if not rows or not metrics:
        return None
    columns = ("difference", *(heading_of(metric, "points") for metric in metrics))
    return Table(f"differences on {test}, {backbone}", columns, rows)


def validation_table(results: Mapping[str, Any], backbone: str) -> Table | None:
    """A row an arm, on the set that weights and thresholds are chosen on: mean of seeds, standard deviation."""
    mine = [one for one in results["validation"] if one["backbone"] == backbone]
    metrics = [
        name for name in results["grid"]["metrics"] if any(None not in one["scores"].get(name, [None]) for one in mine)
    ]
    rows = tuple((one["arm"], *(seeds_of(one["scores"][metric], metric) for metric in metrics)) for one in mine)
    if not rows or not metrics:
        return None
    return Table(f"validation, {backbone}", ("arm", *(heading_of(metric) for metric in metrics)), rows)


def seeds_of(values: Sequence[float | None], metric: str) -> str:
    """Mean of seeds; their standard deviation where there are several."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "-"
    text = number(statistics.fmean(known), metric)
    return f"{text}, sd {number(statistics.stdev(known), metric)}" if len(known) > 1 else text


def sample_table(results: Mapping[str, Any]) -> Table | None:
    """A row an arm: what it learned from."""
    rows = []
    for arm in results["grid"]["arms"]:
        mine = [row for row in results["rows"] if row["arm"] == arm["name"]]
        if not mine:
            continue
        facts = results["samples"].get(arm["name"], {})
        rejected = sum(facts.get("rejects", {}).values())
        rows.append(
            (
                arm["name"],
                f"{mine[0]['trained_artifact']:,}",
                f"{mine[0]['trained_clean']:,}",
                f"{rejected:,}" if facts else "-",
                mean_of(facts, "area", 100),
                mean_of(facts, "inside"),
                mean_of(facts, "outside"),
                f"{mine[0]['iterations']:,}",
            )
        )
    columns = ("arm", "artifact", "clean", "rejected", "area, %", "change inside", "outside", "iterations")
    return Table("what each arm learned from", columns, tuple(rows)) if rows else None


def mean_of(facts: Mapping[str, Any], name: str, scale: float = 1) -> str:
    one = facts.get(name)
    return "-" if one is None else f"{scale * one['mean']:.2f}"


def sentences(results: Mapping[str, Any]) -> list[str]:
    """One for each comparison and backbone, in the order of the grid."""
    told = []
    for first, second in results["grid"]["compare"]:
        for backbone in results["grid"]["backbones"]:
            found = [
                one
                for one in results["differences"]
                if (one["first"], one["second"], one["backbone"]) == (first, second, backbone)
            ]
            parts = [part for one in found if (part := on_test(one, metrics_of(results, one["test"])))]
            if parts:
                told.append(f"{first}, against {second} ({backbone}): {'; '.join(parts)}.")
            else:
                told.append(f"{first}, against {second} ({backbone}): not compared, a training is missing.")
    return told


def gap_tables(results: Mapping[str, Any]) -> list[Table]:
    """For each gap, a row a test set and backbone: the share of the distance that the arm recovers."""
    metrics = results["grid"]["metrics"][:MOST_COLUMNS]
    tables = []
    for names in results["grid"]["gaps"]:
        rows = tuple(
            (f"{one['test']}, {one['backbone']}", *(share(one["metrics"][name]) for name in metrics))
            for one in results["recovered"]
            if (one["arm"], one["floor"], one["ceiling"]) == tuple(names)
            and any(told(one["metrics"][name]) for name in metrics)
        )
        if rows:
            arm, floor, ceiling = names
            columns = ("test", *(NAMES[name] for name in metrics))
            tables.append(Table(f"what {arm} recovers of the distance from {floor} to {ceiling}", columns, rows))
    return tables


def share(one: Mapping[str, Any]) -> str:
    """ "56% (44 to 70)"; "-" where the two ends are not told apart."""
    if not told(one):
        return "-"
    return f"{100 * one['value']:.0f}% ({100 * one['low']:.0f} to {100 * one['high']:.0f})"


def shares(results: Mapping[str, Any]) -> list[str]:
    """One sentence for each gap and backbone of which a test set tells floor and ceiling apart."""
    found: dict[tuple[str, ...], list[str]] = {}
    for one in results["recovered"]:
        metrics = [name for name in metrics_of(results, one["test"]) if name in results["grid"]["metrics"]]
        of = [f"{share(one['metrics'][m])} of {NAMES[m]}" for m in in_sentences(metrics) if told(one["metrics"][m])]
        if of:
            names = (one["arm"], one["floor"], one["ceiling"], one["backbone"])
            found.setdefault(names, []).append(f"on {one['test']} {', '.join(of)}")
    return [
        f"{arm} recovers, of the distance from {floor} to {ceiling} ({backbone}): {'; '.join(parts)}."
        for (arm, floor, ceiling, backbone), parts in found.items()
    ]


def baselines(results: Mapping[str, Any]) -> list[str]:
    """What is scored without a look at a picture."""
    return [
        f"what the captions of {one['test']} name, scored by how often such pictures are broken in what "
        f"'{one['arm']}' learns from: image AUROC {100 * one['value']:.1f}% without a look at a picture."
        for one in results["content_alone"]
    ]


def on_test(one: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """ "on wild, artifact IoU is 1.6 points higher (+1.1 to +2.0) and pixel AP is not told apart (-0.3 to +0.8)"."""
    chosen = [name for name in in_sentences(metrics) if told(one["metrics"][name])]
    parts = [f"{NAMES[name]} is {verdict(one['metrics'][name], name)}" for name in chosen]
    if not parts:
        return ""
    joined = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"on {one['test']}, {joined}"


def in_sentences(metrics: Sequence[str]) -> list[str]:
    return [*metrics[:IN_SENTENCES], *(name for name in metrics[IN_SENTENCES:] if name == MATCHED)]


def told(one: Mapping[str, Any]) -> bool:
    return one["value"] is not None


def verdict(one: Mapping[str, Any], metric: str) -> str:
    """In words: higher, lower, or not told apart, by whether the interval of the difference holds 0."""
    unit = " points" if PERCENT[metric] else ""
    if one["low"] is None:
        return f"{number(one['value'], metric, True)}{unit} apart, without interval"
    span = f"({number(one['low'], metric, True)} to {number(one['high'], metric, True)})"
    if one["low"] <= 0 <= one["high"]:
        return f"not told apart {span}"
    way = "higher" if one["value"] > 0 else "lower"
    return f"{number(abs(one['value']), metric)}{unit} {way} {span}"


def blocks_of(results: Mapping[str, Any], figures: Sequence[Figure]) -> list[Block]:
    """The report from top to bottom."""
    grid = results["grid"]
    blocks: list[Block] = [Text(origin(results))]
    if results["failed"]:
        blocks += [Heading("Arms that failed"), Bullets(tuple(f"{k}: {v}" for k, v in results["failed"].items()))]
    said = (*sentences(results), *shares(results), *baselines(results))
    if said:
        blocks += [Heading("What it says"), Bullets(said)]
    blocks += figures
    pairs = [(backbone, test) for backbone in grid["backbones"] for test in grid["tests"]]
    scores = [table for pair in pairs if (table := score_table(results, *pair))]
    apart = [table for pair in pairs if (table := difference_table(results, *pair))]
    if scores:
        blocks += [Heading("Scores"), *scores]
    if apart:
        blocks += [Heading("Differences"), *apart]
    recovered = gap_tables(results)
    if recovered:
        blocks += [Heading("Distances"), *recovered]
    chosen = [table for backbone in grid["backbones"] if (table := validation_table(results, backbone))]
    if chosen:
        note = "Choose between arms by these scores: what is chosen by a test set's is no longer tested by it."
        blocks += [Heading("Validation"), Text(note), *chosen]
    samples = sample_table(results)
    if samples:
        blocks += [Heading("Samples"), samples]
    return blocks


def origin(results: Mapping[str, Any]) -> str:
    """The command, the machine and what must be known beside the figures."""
    grid, machine = results["grid"], results["machine"]
    rows = {(row["arm"], row["backbone"], row["seed"]) for row in results["rows"]}
    seeds = len(grid["seeds"])
    return (
        f"`{results['command']}`, {machine['card'] or machine['processor']}, {results['date']}: {len(rows)} of "
        f"{results['trainings']} trainings. In brackets {results['bootstrap']['level']:.0%} intervals of the mean over "
        f"{seeds} training seed{'s' if seeds > 1 else ''}, from {grid['resamples']:,} bootstrap resamples of test "
        f"pictures{'; sd is over seeds' if seeds > 1 else ', which say nothing of what another seed would change'}; "
        f"differences are paired. Weights and threshold of each "
        "detector are those of the largest artifact IoU on the validation set."
    )


def write_report(out: Path, results: Mapping[str, Any], figures: Sequence[Figure]) -> None:
    """OUT/report.md and OUT/index.html. Raises OutputError."""
    blocks = blocks_of(results, figures)
    title = results["grid"]["title"]
    write_bytes(out / MARKDOWN, as_markdown(title, blocks, out).encode())
    write_bytes(out / PAGE, as_html(title, blocks).encode())
