"""`python -m detector score`: predictions in folders against the truth in shards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from detector.score.api import Collector
from detector.score.bootstrap import compare, summarise
from detector.score.counts import Counts, ScoreError
from detector.score.counts_io import load_counts
from detector.score.page import MOST, write_page
from detector.score.read import KINDS, PredictionFolder
from detector.score.report import Report, as_markdown, write_report
from detector.score.truth import MATCHES, Truth, check_soft_truth, match_predictions
from shards.progress import progress

HELP = "score predicted masks or heat maps, from any tool, against the masks of shards"
MAX_RESAMPLES = 10**6
EXAMPLES = """examples:
  blemish detect score --pred out/pred --truth out/test --out out/scores
  blemish detect score --pred seed1 seed2 seed3 --truth out/test --out out/ours --against out/baseline
  blemish detect score --pred masks_of_another_tool --truth out/test --match uri --meet 512

A prediction folder holds heat/KEY.png (8-bit grey, round(255 * score)), or masks/KEY.png (0 and 255), or KEY.png or
KEY.npy directly. Definitions of all metrics: docs/reference/scores.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill a parser made by `detector.__main__` or by this package's own."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--pred",
        nargs="+",
        required=True,
        type=Path,
        metavar="DIR",
        help="predictions; several: one for each training seed",
    )
    parser.add_argument(
        "--truth", nargs="+", required=True, metavar="SHARDS", help="run folders, folders of tars, tars; or s3://.."
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write scores.json, scores.md, per_image.csv, counts.npz, view/"
    )
    parser.add_argument(
        "--page",
        type=int,
        default=MOST,
        metavar="N",
        help="images on the page OUT/view/index.html, the worst of them (default 1000, 0: no page)",
    )
    parser.add_argument("--threshold", type=float, default=0.5, help="artifact where score >= threshold (default 0.5)")
    parser.add_argument("--kind", choices=KINDS, default="auto", help="what the files hold (default: found out)")
    parser.add_argument(
        "--meet",
        default="truth",
        metavar="SIZE",
        help="'truth' (default), 'same', or a side such as 512 (both resized)",
    )
    parser.add_argument(
        "--match", choices=MATCHES, default="key", help="files carry the sample's key or its source's name"
    )
    parser.add_argument(
        "--truth-heat", type=Path, metavar="DIR", help="soft truth of the heat-map scores, KEY.png or .npy"
    )
    parser.add_argument("--allow-missing", action="store_true", help="leave out samples without prediction, and say so")
    parser.add_argument("--against", type=Path, metavar="DIR", help="--out folder of another run: paired differences")
    parser.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples of images (default 1000, 0: none)"
    )
    parser.add_argument(
        "--seed", default="scores", metavar="NAME", help="name of the bootstrap seed (default 'scores')"
    )


def run(args: argparse.Namespace) -> int:
    """Score, print the table, write the files. Raises UserError subclasses on bad input."""
    if not 0 <= args.bootstrap <= MAX_RESAMPLES:
        raise ScoreError(
            f"--bootstrap is {args.bootstrap}; give 0 for no intervals, or up to {MAX_RESAMPLES}, such as 1000"
        )
    if args.page < 0:
        raise ScoreError(f"--page is {args.page}; give 0 for no page, or a number of images, such as {MOST}")
    against = load_counts(args.against) if args.against else []
    truth = Truth(args.truth, args.match)
    folders = [PredictionFolder(folder, args.kind) for folder in args.pred]
    matched = match_predictions(truth, folders, args.allow_missing)
    soft = PredictionFolder(args.truth_heat, "scores") if args.truth_heat else None
    if soft:
        check_soft_truth(soft, truth, matched.indices)
    collectors = [Collector(args.threshold, args.meet) for _ in folders]
    results = count_all(truth, folders, matched.indices, collectors, soft)
    report = Report(
        results=results,
        estimates=summarise(results, args.bootstrap, args.seed),
        resamples=args.bootstrap,
        seed=args.seed,
        predictions=[str(folder.root) for folder in folders],
        truth=[str(where) for where in args.truth],
        missing=matched.missing,
        extra=matched.extra,
        reference=str(args.against or ""),
        differences=compare(results, against, args.bootstrap, args.seed) if against else {},
    )
    if args.out:
        write_report(args.out, report)
    print(as_markdown(report), end="")
    if args.out and args.page:
        write_page(args.out, truth, folders[0], matched.indices, results[0], args.page)
    return 0


def count_all(
    truth: Truth,
    folders: Sequence[PredictionFolder],
    indices: Sequence[int],
    collectors: Sequence[Collector],
    soft: PredictionFolder | None,
) -> list[Counts]:
    """One pass: each mask is read once, for all training seeds."""
    names = [truth.names[i] for i in indices]
    for folder in folders:
        folder.settle(names)
    for index, name in zip(progress(indices, "image", "score", leave=False), names, strict=True):
        mask = truth.mask(index)
        heat = soft.read(name) if soft else None
        for folder, collector in zip(folders, collectors, strict=True):
            collector.add(name, mask, folder.read(name), heat)
    return [collector.counts() for collector in collectors]
