"""Do classifiers of real against generated find artifacts? Trained small in the embedded world, beside our detector.

    python -m experiments.baselines --out out/baselines

Pictures of the same scenes, rendered and sampled, train CNNgenerates (with Grad-CAM) and Patch Forensics on the label
of the whole picture, once against renders as they are and once against renders that went through the autoencoder, as
every picture of the test sets did. Thresholds are those of the largest artifact IoU on `validation`.

`--unseen` is a set of another generator, as table 2 of PAL has five: its figures come in a table of their own.

OUT/table.md, OUT/table.json; OUT/pictures, OUT/weights and OUT/seen are kept: the same command goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from experiments.baselines.pictures import RENDERS, ROUND_TRIPS, SAMPLES, make_pictures, read_pictures
from shards.claims import Claim
from shards.errors import ConfigError, run_cli
from shards.files import make_folder, write_bytes, write_json
from shards.markdown import table

DETECTOR = Path("region_select/weights/swin_mini.safetensors")
SETS = Path("miniworld/sets/v1")
TESTS = WILD, FAULTS, CLEAN = "wild-test", "faults-test", "clean-test"
LABELS = {"cnngenerates": "CNNgenerates + Grad-CAM", "patchforensics": "Patch Forensics"}
REAL = {RENDERS: "renders", ROUND_TRIPS: "round trips"}
COLUMNS = (
    (WILD, "artifact_iou", "wild: artifact IoU"),
    (WILD, "pixel_ap", "wild: pixel AP"),
    (WILD, "pixel_auroc", "wild: pixel AUROC"),
    (WILD, "image_auroc_max", "wild: image AUROC"),
    (FAULTS, "artifact_iou", "drawn faults: artifact IoU"),
    (FAULTS, "pixel_ap", "drawn faults: pixel AP"),
    (CLEAN, "fpr_clean", "clean: FPR"),
    (CLEAN, "apaa_clean", "clean: APAA"),
)
UNSEEN = tuple((metric, f"unseen: {head.partition(': ')[2]}") for _, metric, head in COLUMNS[:4])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        "python -m experiments.baselines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--pictures", type=int, default=288, metavar="N", help="scenes to learn from (default 288)")
    top.add_argument("--iterations", type=int, default=600, metavar="N", help="of each training (default 600)")
    top.add_argument("--steps", type=int, default=30, metavar="N", help="denoising steps of a sample (default 30)")
    top.add_argument("--seed", type=int, default=0)
    top.add_argument("--detector", type=Path, default=DETECTOR, metavar="WEIGHTS", help="ours, beside them")
    top.add_argument("--sets", type=Path, default=SETS, metavar="DIR")
    top.add_argument(
        "--unseen", type=Path, metavar="DIR", help="a labelled set of a generator that nothing learned from"
    )
    top.add_argument("--out", type=Path, default=Path("out/baselines"), metavar="DIR")
    return top


def run(args: argparse.Namespace) -> int:
    """Make, train, look, score, and write the table. Raises UserErrors."""
    from experiments.baselines.score import Row, score
    from experiments.baselines.train import HELD_OUT, METHODS, Recipe, train

    if not 1 <= args.iterations <= 100_000 or args.seed < 0:
        raise ConfigError("--iterations must be 1 to 100000, --seed 0 or more")
    asked = {"pictures": args.pictures, "iterations": args.iterations, "steps": args.steps, "seed": args.seed}
    asked |= {"detector": str(args.detector), "sets": str(args.sets)}
    if args.unseen:
        if args.unseen.name in (*TESTS, "validation"):
            raise ConfigError(
                f"--unseen is {args.unseen}, named as one of the sets is; rename the folder, such as unseen"
            )
        asked |= {"unseen": str(args.unseen)}
    make_folder(args.out)
    with Claim(args.out, "run.json", asked, "comparison").held():
        make_pictures(args.pictures, args.out / "pictures", args.steps)
        generated = read_pictures(args.out / "pictures" / SAMPLES, args.pictures)
        rows, trained = [Row("whole picture marked")], {}
        for kind, method in METHODS.items():
            for real in REAL:
                name = f"{kind}_{real}"
                images = read_pictures(args.out / "pictures" / real, args.pictures)
                recipe = Recipe(args.iterations, args.seed)
                trained[name] = train(method, images, generated, recipe, name, args.out / "weights")
                rows.append(Row(name, kind, args.out / "weights" / f"{name}.safetensors"))
        rows.append(Row("ours", "detector", args.detector))
        tests = [args.sets / name for name in TESTS] + ([args.unseen] if args.unseen else [])
        scored = [score(row, args.sets / "validation", tests, args.out / "seen") for row in rows]
        text = as_text(scored, trained)
        plain = [one | {"sets": figures(one["sets"])} for one in scored]
        write_json(args.out / "table.json", {"asked": asked, "held_out": HELD_OUT, "trained": trained, "rows": plain})
        write_bytes(args.out / "table.md", text.encode())
    print(text, end="")
    return 0


def figures(sets: dict[str, Any]) -> dict[str, Any]:
    """Estimates as plain values."""
    return {name: {metric: asdict(one) for metric, one in found.items()} for name, found in sets.items()}


def as_text(scored: list[dict[str, Any]], trained: dict[str, dict[str, Any]]) -> str:
    """The trainings, and the figures in two tables that fit a page."""
    lines = [
        [label(name), right(told), f"{told['cpu_seconds'] / 60:.1f}", f"{told['weights']:,}"]
        for name, told in trained.items()
    ]
    head = ["classifier", "right on held-out pictures, %", "minutes of CPU", "weights"]
    parts = [table(head, lines, aligned=True)]
    unseen = [name for name in scored[0]["sets"] if name not in TESTS]
    others = [tuple((name, metric, head) for metric, head in UNSEEN) for name in unseen]
    for columns in (COLUMNS[:4], COLUMNS[4:], *others):
        body = [
            [label(one["name"]), *(cell(one["sets"][test][metric]) for test, metric, _ in columns)] for one in scored
        ]
        parts.append(table(["method", *(head for _, _, head in columns)], body, aligned=True))
    return "\n\n".join(parts) + "\n"


def right(told: dict[str, Any]) -> str:
    """In percent, with Wilson's interval over the held-out pictures."""
    count = told["held_out"]
    low, high = binomtest(round(told["accuracy"] * count), count).proportion_ci(method="wilson")
    return f"{100 * told['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def label(name: str) -> str:
    """How the table names a method."""
    kind, _, real = name.partition("_")
    return f"{LABELS[kind]}, against {REAL[real]}" if kind in LABELS else {"ours": "ours, 100 labels"}.get(name, name)


def cell(one: Any) -> str:
    """In percent, with its interval."""
    if one.value is None:
        return "n/a"
    return f"{100 * one.value:.1f}" + ("" if one.low is None else f" ({100 * one.low:.1f} to {100 * one.high:.1f})")


def main(argv: list[str] | None = None) -> int:
    """0 done, 2 wrong input."""
    return run_cli(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
