"""The tables, each from counts: a title, a head, and rows of cells. Figures are percent with 95% intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from detector.rejection.names import PIXEL_SCORES, SCORES
from detector.score.bootstrap import Estimate
from experiments.msr import paper
from experiments.msr.arm_tables import arms_table, differences_table
from experiments.msr.arms import Bench
from experiments.msr.cost import Cost, cost_of
from experiments.msr.outlines import REACH, look_for
from experiments.msr.plan import Arm, LabelledSet
from experiments.msr.sets import ALL
from experiments.msr.table import Seen, Table, figures, frozen, over_seeds, percent
from shards.reader import ShardReader

NOT_MEASURED = "not measured"


def real_table(bench: Bench) -> Table:
    """Table 3: false alarms where nothing is an artifact."""
    rows = []
    for arm in (one for one in bench.config.arms if not one.is_specialist):
        for test in bench.config.real:
            seeds = over_seeds(bench, arm, test)
            for group in sorted({key[2] for key in seeds[0]}, key=lambda name: (name == ALL, name)):
                found = figures(bench, seeds, group=group)
                told = paper.REAL.get(group, None) if test.by in ("folder", "coco_stuff") else None
                beside = f"{told[0]:.2f} / {told[1]:.2f}" if told else "-"
                rows.append(
                    [arm.name, test.name, group, percent(found["fpr_clean"]), area(found["apaa_clean"]), beside]
                )
    head = ("arm", "set", "category", "FPR", "APAA", "paper: FPR / APAA")
    return Table("real", "Table 3: real pictures", head, frozen(rows))


def area(one: Estimate) -> str:
    """A small share, with one more digit."""
    return "n/a" if one.value is None else f"{100 * one.value:.2f}"


def scores_table(bench: Bench) -> Table:
    """Table 4: mechanisms and scores, of the segmenter as it is and of the main arm; one pass gives all of them."""
    rows = []
    if bench.config.per_pixel:
        opened = bench.open_segmenter(bench.config.per_pixel, "pixel")
        rows += score_rows(
            bench, "per-pixel network, zero-shot", PIXEL_SCORES, lambda test: [bench.seen(opened, test, PIXEL_SCORES)]
        )
    for arm in (*(one for one in bench.config.arms if not one.shards), bench.config.main_arm):
        rows += score_rows(bench, arm.name, SCORES, partial(over_seeds, bench, arm, scores=SCORES))
    head = (
        "network",
        "score",
        *(f"{test.name}: {name}" for test in bench.config.tests for name in SCORE_HEAD),
        "paper",
    )
    return Table("scores", "Table 4: scores and mechanisms", head, frozen(rows))


SCORE_FIGURES = ("artifact_iou", "oracle_threshold_iou", "pixel_ap", "image_auroc_max")
SCORE_HEAD = tuple(name.replace("_", " ") for name in SCORE_FIGURES)


def score_rows(
    bench: Bench, name: str, scores: Sequence[str], see: Callable[[LabelledSet], list[Seen]]
) -> list[list[str]]:
    """A row for each score; the paper's figures are of its unified adapted model and of UPerNet."""
    rows = {score: [name, score] for score in scores}
    for test in bench.config.tests:
        seeds = see(test)
        for score in scores:
            found = figures(bench, seeds, score)
            rows[score] += [percent(found[figure]) for figure in SCORE_FIGURES]
    for score, row in rows.items():
        adapted = f"{paper.SCORES[score]:.2f}" if name == bench.config.main and score in paper.SCORES else "-"
        row.append(f"{paper.PER_PIXEL:.2f}" if name.startswith("per-pixel") and score == "pixel" else adapted)
    return list(rows.values())


def margins_table(bench: Bench) -> Table:
    """Table 5: the main arm trained at each margin."""
    rows = [
        [f"{margin:g}", *iou_cells(bench, arm), told(paper.MARGINS, margin)]
        for margin, arm in bench.config.margin_arms().items()
    ]
    head = ("margin", *(f"{test.name}: artifact IoU" for test in bench.config.tests), "paper")
    return Table("margins", "Table 5: the margin", head, frozen(rows))


def iou_cells(bench: Bench, arm: Arm) -> list[str]:
    """Artifact IoU on each set."""
    return [percent(figures(bench, over_seeds(bench, arm, test))["artifact_iou"]) for test in bench.config.tests]


def thresholds_table(bench: Bench) -> Table:
    """Table 6: the main arm at each threshold, from the same looks."""
    taus = bench.config.thresholds
    seen = [over_seeds(bench, bench.config.main_arm, test, (), taus) for test in bench.config.tests]
    rows = [
        [
            f"{tau:g}",
            *(percent(figures(bench, seeds, tau=tau)["artifact_iou"]) for seeds in seen),
            told(paper.THRESHOLDS, tau),
        ]
        for tau in taus
    ]
    head = ("threshold", *(f"{test.name}: artifact IoU" for test in bench.config.tests), "paper")
    return Table("thresholds", "Table 6: the threshold", head, frozen(rows))


def told(figures_of_paper: Mapping[float, float], value: float) -> str:
    found = figures_of_paper.get(round(value, 6))
    return "-" if found is None else f"{found:.2f}"


def cost_table(bench: Bench) -> Table:
    """Table 7: what a picture costs, counted on the network itself."""
    rows = []
    for arm in bench.config.arms:
        if arm.is_specialist or (arm.shards and arm.name != bench.config.main and not arm.config):
            continue  # the same network
        found: Cost = cost_of(bench.open(arm, bench.config.seeds[0])[0])
        size = f"{found.height} x {found.width}"
        rows.append([arm.name, size, f"{found.gflops:.3f}", f"{found.parameters / 1e6:.2f}", *iou_cells(bench, arm)])
    for name, (gflops, parameters, iou) in paper.COST.items():
        rows.append([name, "-", f"{gflops:g}", f"{parameters:g}", *[f"{iou:.2f}"] * len(bench.config.tests)])
    head = ("arm", "picture", "GFLOPs", "M parameters", *(f"{test.name}: artifact IoU" for test in bench.config.tests))
    return Table("cost", "Table 7: cost", head, frozen(rows))


def ratio_table(bench: Bench) -> Table:
    """Figure 5: the main arm on shares of its labels; 0 is the segmenter as it is."""
    main = bench.config.main_arm
    count = min(main.limit or 1 << 62, len(ShardReader(main.shards)))
    zero = [(0.0, arm) for arm in bench.config.arms if not arm.shards]
    rows = [
        [f"{ratio:g}", str(arm.limit if arm.shards else 0), *iou_cells(bench, arm)]
        for ratio, arm in [*zero, *bench.config.ratio_arms(count).items()]
    ]
    head = ("share of the labels", "pictures", *(f"{test.name}: artifact IoU" for test in bench.config.tests))
    return Table("ratio", "Figure 5: how many labels", head, frozen(rows))


def outlines_table(bench: Bench) -> Table:
    """Where false alarms of the embedded world lie; a set that does not know its scenes has no row."""
    rows = []
    for arm in (one for one in bench.config.arms if not one.is_specialist):
        for test in (one for one in bench.config.real if one.by == "kind"):
            for seed in bench.seeds(arm):
                config = bench.config
                found = look_for(bench.open(arm, seed), test, config.limit, config.threshold, bench.out)
                shares = [share(near, found.marked) for near in found.near[1:]]
                base = [share(one, found.area_of_all) for one in found.area[1:]]
                flagged = [share(one, found.pictures) for one in found.flagged]
                rows.append([arm.name, str(seed), test.name, *flagged, *shares, *base])
    head = (
        "arm",
        "seed",
        "set",
        "FPR",
        *(f"FPR beyond {reach} px of outlines" for reach in REACH[1:]),
        *(f"marked pixels within {reach} px" for reach in REACH[1:]),
        *(f"all pixels within {reach} px" for reach in REACH[1:]),
    )
    return Table("outlines", "False alarms and outlines", head, frozen(rows))


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "n/a"


MAKERS: dict[str, Callable[[Bench], Table]] = {
    "arms": arms_table,
    "differences": differences_table,
    "real": real_table,
    "scores": scores_table,
    "margins": margins_table,
    "thresholds": thresholds_table,
    "cost": cost_table,
    "ratio": ratio_table,
    "outlines": outlines_table,
}
