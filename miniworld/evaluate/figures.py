"""The figures behind docs/evidence/miniworld.md: how well the oracle finds faults, how the generator breaks.

Everything is measured on scenes of the calibration split; `first` leaves out those that the thresholds were chosen on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from miniworld.evaluate.counting import Mask, cell, matches, share
from miniworld.evaluate.trials import Job, Judge, Trip, blind, clean_jobs, faulty_jobs
from miniworld.oracle.explain import explain
from miniworld.world.faults import FAULT_KINDS
from miniworld.world.scenes import SIZES, caption, sample_scene
from miniworld.world.splits import SPLITS
from shards.markdown import table


def judge_picture(job: Job) -> tuple[Mask, tuple[bool, ...], list[dict[str, Any]]]:
    """What the oracle says of a picture: its mask, which things it found, what is misaligned."""
    seed, image, scene = job
    said = explain(image, blind(scene, np.random.default_rng(seed)))
    return said.mask, said.found, said.misaligned


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


def as_markdown(figures: dict[str, Any]) -> str:
    """The figures as tables."""
    faults = [
        (kind.replace("_", " "), cell(found["recall"]), cell(found["precision"]))
        for kind, found in figures.get("faults", {}).items()
    ]
    shares = []
    if "clean" in figures:
        shares.append(("clean scenes in which a fault is found", figures["clean"]["with a fault"]))
        shares.append(("things found in clean scenes", figures["clean"]["things found"]))
    if "samples" in figures:
        got = figures["samples"]
        shares.append(("requested things found in guided samples", got["things found"]))
        shares += [(f"- {kind}", found) for kind, found in got["found by kind"].items()]
        shares.append(("guided samples with a fault", got["pictures with a fault"]))
        shares.append(("guided samples with misalignment", got["pictures with misalignment"]))
    parts = [
        table(("drawn fault", "component recall", "component precision"), faults),
        table(("what", "share (95% interval)"), [(what, cell(found)) for what, found in shares]),
    ]
    return "\n\n".join(parts) + "\n"
