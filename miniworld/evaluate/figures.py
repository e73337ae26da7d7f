"""The figures behind docs/miniworld.md, by one command: how well the oracle finds faults, how the generator breaks.

Everything is measured on scenes of the calibration split (seeds after those the thresholds were chosen on can be named
with --first). The oracle is told only what a caption says: kinds, looks and rough places, never a pose.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from miniworld.oracle.explain import explain
from miniworld.world.faults import FAULT_KINDS, draw_fault, kinds_for
from miniworld.world.raster import render
from miniworld.world.scenes import SIZES, Scene, caption, sample_scene
from miniworld.world.splits import SPLITS
from shards.pool import open_pool

Mask = NDArray[np.uint8]
Job = tuple[int, NDArray[np.uint8], Scene]
"""Seed, picture after the round trip, and the scene as it was drawn."""
Judge = Callable[[list[Job], str], list[Any]]
Trip = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
CLEAN_OFFSET = 50_000
"clean scenes lie so far behind the scenes of drawn faults"
MATCH = 0.25
"two components match when their overlap is at least this share of the smaller one"


def blind(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with what its caption does not say made neutral: sizes, turns, and places within a few pixels."""

    def forget(v: float) -> float:
        return float(np.clip(v + rng.uniform(-8, 8), 4, 60))

    things = tuple(
        replace(t, x=forget(t.x), y=forget(t.y), s=sum(SIZES[t.kind]) / 2, rot=0.0, gaze=0.0, spread=1.0, flip=False)
        for t in scene.things
    )
    return replace(scene, things=things)


def components(mask: Mask) -> list[NDArray[np.bool_]]:
    """The 8-connected components of a mask."""
    labels, count = ndimage.label(mask > 0, np.ones((3, 3)))
    return [labels == k for k in range(1, count + 1)]


def matches(predicted: Mask, truth: Mask) -> tuple[int, int, int, int]:
    """Predicted components that match a true one, predicted in all, true ones that are matched, true in all."""
    ours, theirs = components(predicted), components(truth)

    def same(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
        return bool((a & b).sum() >= MATCH * min(a.sum(), b.sum()))

    hit = sum(any(same(p, t) for t in theirs) for p in ours)
    seen = sum(any(same(p, t) for p in ours) for t in theirs)
    return hit, len(ours), seen, len(theirs)


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927)."""
    if total == 0:
        return 0.0, 1.0
    p, n = hits / total, total
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def share(hits: int, total: int) -> dict[str, Any]:
    """A share with its counts and interval."""
    low, high = wilson(hits, total)
    return {
        "hits": hits,
        "of": total,
        "share": round(hits / max(1, total), 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def faulty_pictures(kind: str, count: int, first: int) -> Iterator[tuple[int, NDArray[np.uint8], Mask, Scene]]:
    """`count` pictures with one drawn fault of a kind: seed, picture, exact mask, scene as drawn."""
    made, seed = 0, SPLITS["calibration"].start + first
    while made < count:
        scene = sample_scene(seed)
        rng = np.random.default_rng([seed, FAULT_KINDS.index(kind)])
        drawn = draw_fault(scene, kind, rng) if kind in kinds_for(scene) else None
        if drawn is not None:
            made += 1
            yield seed, drawn.image, drawn.mask, drawn.scene
        seed += 1


def _judge(job: Job) -> tuple[Mask, tuple[bool, ...], list[dict[str, Any]]]:
    seed, image, scene = job
    said = explain(image, blind(scene, np.random.default_rng(seed)))
    return said.mask, said.found, said.misaligned


def faulty_jobs(kind: str, count: int, first: int, trip: Trip) -> tuple[list[Job], list[Mask]]:
    """Drawn faults of a kind, and their exact masks."""
    seeds, images, masks, scenes = (list(column) for column in zip(*faulty_pictures(kind, count, first), strict=True))
    return list(zip(seeds, trip(np.stack(images)), scenes, strict=True)), masks


def clean_jobs(count: int, first: int, trip: Trip) -> list[Job]:
    """Valid scenes."""
    seeds = [SPLITS["calibration"].start + CLEAN_OFFSET + first + i for i in range(count)]
    scenes = [sample_scene(s) for s in seeds]
    return list(zip(seeds, trip(np.stack([render(s) for s in scenes])), scenes, strict=True))


def fault_figures(count: int, first: int, trip: Trip, judge: Judge) -> dict[str, Any]:
    """Component recall and precision of the oracle for each kind of drawn fault, after the round trip."""
    out = {}
    for kind in FAULT_KINDS:
        jobs, masks = faulty_jobs(kind, count, first, trip)
        said = judge(jobs, kind)
        totals = np.sum([matches(s[0], m) for s, m in zip(said, masks, strict=True)], axis=0)
        hit, ours, seen, theirs = (int(t) for t in totals)
        out[kind] = {"recall": share(seen, theirs), "precision": share(hit, ours)}
    return out


def clean_figures(count: int, first: int, trip: Trip, judge: Judge) -> dict[str, Any]:
    """In how many clean scenes the oracle finds a fault after the round trip, and how many things it finds there."""
    jobs = clean_jobs(count, first, trip)
    said = judge(jobs, "clean scenes")
    found = [f for s in said for f in s[1]]
    wrong = [job[0] for job, s in zip(jobs, said, strict=True) if s[0].any()]
    return {"with a fault": share(len(wrong), count), "things found": share(sum(found), len(found)), "seeds": wrong}


def sample_figures(pipe: Any, count: int, first: int, judge: Judge) -> dict[str, Any]:
    """Of guided samples: requested things found, pictures with a fault, area of the faults."""
    from miniworld.generator.sample import GUIDANCE, STEPS, sample_images

    seeds = [SPLITS["calibration"].start + 80_000 + first + i for i in range(count)]
    scenes = [sample_scene(s) for s in seeds]
    images = sample_images(pipe, [caption(s) for s in scenes], seeds)
    said = judge(list(zip(seeds, images, scenes, strict=True)), "samples")
    found = [f for s in said for f in s[1]]
    broken = [s for s in said if s[0].any()]
    by_kind = {}
    for kind in SIZES:
        own = [
            f
            for scene, s in zip(scenes, said, strict=True)
            for t, f in zip(scene.things, s[1], strict=True)
            if t.kind == kind
        ]
        by_kind[kind] = share(sum(own), len(own))
    areas = [float(s[0].mean()) for s in broken]
    return {
        "steps": STEPS,
        "guidance": GUIDANCE,
        "things found": share(sum(found), len(found)),
        "found by kind": by_kind,
        "pictures with a fault": share(len(broken), count),
        "mean area of a faulty picture's mask": round(float(np.mean(areas)), 4) if areas else 0.0,
        "pictures with misalignment": share(sum(bool(s[2]) for s in said), count),
    }


def cell(s: dict[str, Any]) -> str:
    """A share with its interval and counts, for a table."""
    return f"{100 * s['share']:.1f}% ({100 * s['low']:.1f} to {100 * s['high']:.1f}; {s['hits']} of {s['of']})"


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| drawn fault | component recall | component precision |", "| --- | --- | --- |"]
    lines += [
        f"| {k.replace('_', ' ')} | {cell(v['recall'])} | {cell(v['precision'])} |"
        for k, v in figures.get("faults", {}).items()
    ]
    lines += ["", "| what | share (95% interval) |", "| --- | --- |"]
    if "clean" in figures:
        lines.append(f"| clean scenes in which a fault is found | {cell(figures['clean']['with a fault'])} |")
        lines.append(f"| things found in clean scenes | {cell(figures['clean']['things found'])} |")
    if "samples" in figures:
        got = figures["samples"]
        lines.append(f"| requested things found in guided samples | {cell(got['things found'])} |")
        lines += [f"| - {k} | {cell(v)} |" for k, v in got["found by kind"].items()]
        lines.append(f"| guided samples with a fault | {cell(got['pictures with a fault'])} |")
        lines.append(f"| guided samples with misalignment | {cell(got['pictures with misalignment'])} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> None:
    """`python -m miniworld figures`: measure, print the tables, write figures.json."""
    args = _parser().parse_args(argv)
    for name in ("faults", "clean", "samples", "first", "processes"):
        if getattr(args, name) < (1 if name == "processes" else 0):
            raise ValueError(f"--{name} is {getattr(args, name)}: give a larger whole number")
    from miniworld.generator.sample import load_pipeline

    pipe = load_pipeline(args.weights)
    with open_pool(args.processes) as pool:

        def judge(jobs: list[Any], what: str, ask: Callable[[Any], Any] = _judge) -> list[Any]:
            from tqdm import tqdm

            quiet = not sys.stderr.isatty()
            asked = pool.imap(ask, jobs, chunksize=4)
            return list(tqdm(asked, total=len(jobs), desc=what, unit="picture", disable=quiet))

        figures, words = _measure(args, pipe, judge)
    print(words)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _measure(args: argparse.Namespace, pipe: Any, judge: Any) -> tuple[dict[str, Any], str]:
    from miniworld.generator.sample import round_trip

    figures: dict[str, Any] = {"match": MATCH, "first": args.first}
    trip = partial(round_trip, pipe)
    if args.thresholds:
        from miniworld.evaluate import threshold_candidates as thresholds

        figures["thresholds"] = thresholds.compare(
            args.clean, args.faults, args.first, trip, partial(judge, ask=thresholds.masks_of)
        )
        return figures, thresholds.table(figures["thresholds"])
    if args.faults:
        figures["faults"] = fault_figures(args.faults, args.first, trip, judge)
    if args.clean:
        figures["clean"] = clean_figures(args.clean, args.first, trip, judge)
    if args.samples:
        figures["samples"] = sample_figures(pipe, args.samples, args.first, judge)
    return figures, table(figures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m miniworld figures", description="Measure oracle and generator.",
        epilog="example:\n  python -m miniworld figures --faults 60 --clean 600 --out docs/miniworld.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--faults", type=int, default=60, help="pictures of each kind of drawn fault (default 60)")
    parser.add_argument("--clean", type=int, default=600, help="clean scenes (default 600)")
    parser.add_argument("--samples", type=int, default=200, help="guided samples (default 200)")
    parser.add_argument(
        "--thresholds", action="store_true", help="instead, what other thresholds of the oracle would mark"
    )
    parser.add_argument("--first", type=int, default=0, help="offset into the calibration split (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument(
        "--weights", type=Path, default=Path(__file__).parents[1] / "weights", help="folder of the generator"
    )
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    return parser
