"""Training a selector: the detector's training on a few labelled pictures, then tau from validation pictures.

OUT/weights.safetensors, train.json, log.jsonl   the detector's training (detector/train.py)
OUT/selector.safetensors                         the same weights in 16 bits, with what is known of tau in their card
OUT/selector.json                                what they were tuned on, areas, IoU; written last

Tau is chosen with the weights as they are stored, so that it holds for whoever loads them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from region_select.selector import FACTS, SELECTOR, Selector, Tuning
from region_select.tau import HALF, NUM_BINS, Tally, best_iou, match_area
from shards.build import BuildError, build, plain
from shards.claims import read_record
from shards.config import differences
from shards.errors import ConfigError, ResumeError
from shards.files import hash_file, write_json
from shards.masks import ARTIFACT, IGNORE
from shards.progress import progress
from shards.reader import ShardReader

RESULT = "selector.json"


def train_selector(
    config: str | Path,
    labels: Sequence[str | Path],
    out: str | Path,
    val: Sequence[str | Path] = (),
    *,
    overrides: Sequence[str] = (),
    iterations: int | None = None,
    seed: int | None = None,
    checkpoint: Literal["best", "last"] = "best",
    resume: bool = False,
    launcher: str = "none",
) -> dict[str, Any]:
    """Train, tune, and return what OUT/selector.json holds. The same call again resumes, or gives what there is.

    Args:
        config: a detector config, such as configs/region_select/swin_mini.py.
        labels: shards with the labelled pictures, all of which are used (`draw` makes a draw of a hundred).
        val: shards by which tau is chosen and, with checkpoint="best", the iteration; () for neither.
        overrides: "a.b=v" for the config. iterations, seed: as in `python -m detector train`.
        resume: an error unless there is a training in OUT to resume.

    Raises what detector.train.train raises; ResumeError where OUT was tuned on something else.
    """
    from detector.config import load_config, set_seed
    from detector.train import Job, describe_shards, train

    if checkpoint not in ("best", "last"):
        raise ConfigError(f"checkpoint must be best or last, got {checkpoint!r}")
    loaded, out = load_config(config, overrides, iterations), Path(out)
    if seed is not None:
        set_seed(loaded, seed)
    learn, choose = tuple(map(str, labels)), tuple(map(str, val))
    watched = choose if checkpoint == "best" else ()
    trained = train(Job(loaded, Path(config).stem, out, learn, watched, launcher), resume)
    if launcher != "none" and os.environ.get("RANK", "0") != "0":
        return {}
    identity = {
        "config": Path(config).stem,
        "weights_sha256": trained["weights_sha256"],
        "labels": describe_shards(learn),
        "validation": describe_shards(choose),
    }
    if (out / RESULT).is_file() and (out / SELECTOR).is_file():
        stored = read_record(out / RESULT)
        changed = differences({key: stored.get(key) for key in identity}, identity)
        if changed:
            raise ResumeError(f"{out} was tuned on something else ({'; '.join(changed[:3])}); choose another folder")
        check_record(stored, out / RESULT)
        return stored
    tuning = write_selector(out, learn, choose)
    record = {**identity, "tuning": plain(tuning), "bytes": (out / SELECTOR).stat().st_size}
    record.update(iterations=trained["iterations"], seed=trained["seed"], parameters=trained["parameters"])
    record["selector_sha256"] = hash_file(out / SELECTOR)
    write_json(out / RESULT, record)
    return record


def check_record(record: dict[str, Any], path: Path) -> None:
    """Raise ResumeError for the record of a finished selector that is not as it was written."""
    try:
        tuning = build(Tuning, record.get("tuning", {}))
        whole = tuning.taus.keys() == tuning.ious.keys()
    except BuildError:
        whole = False
    if not whole or any(type(record.get(name)) is not int for name in ("bytes", "iterations", "parameters")):
        raise ResumeError(f"{path} is damaged; delete it, or choose another folder")


def write_selector(out: Path, labels: Sequence[str], val: Sequence[str]) -> Tuning:
    """OUT/selector.safetensors from OUT/weights.safetensors."""
    from detector.checkpoint import write_tensors
    from detector.errors import CheckpointError
    from detector.tensors import read_tensors
    from detector.train import WEIGHTS

    tensors, card = read_tensors(out / WEIGHTS)
    if card is None:
        raise CheckpointError(f"{out / WEIGHTS} does not say what model it is; train again in another folder")
    with tempfile.TemporaryDirectory() as scratch:
        write_tensors(Path(scratch) / SELECTOR, tensors, card, half=True)
        tuning = tune(Selector.load(scratch), labels, val)
    told = replace(card, facts={**card.facts, FACTS: plain(tuning)})
    write_tensors(out / SELECTOR, tensors, told, half=True)
    return tuning


def tune(selector: Selector, labels: Sequence[str], val: Sequence[str]) -> Tuning:
    """What is known of tau: the mean area of the labels, and where there are validation pictures the two named taus."""
    reader = ShardReader(list(labels))
    area = sum(label_area(reader, index) for index in range(len(reader))) / len(reader)
    if not val:
        return Tuning(len(reader), area)
    tally = tally_shards(selector, val)
    ious, areas = tally.ious(), tally.areas()
    taus = {"match_area": match_area(tally, area), "best_iou": best_iou(tally)}
    return Tuning(
        num_labels=len(reader),
        label_area=area,
        num_validation=tally.num_pictures,
        validation_area=tally.mean_truth_area,
        half_area=float(areas[HALF]),
        half_iou=float(ious[HALF]),
        taus=taus,
        ious={name: float(ious[round(tau * NUM_BINS)]) for name, tau in taus.items()},
    )


def label_area(reader: ShardReader, index: int) -> float:
    """Share of a sample's pixels that its label marks, ignored ones left out."""
    mask = reader.mask(index)
    return float((mask == ARTIFACT).sum()) / max(1, int((mask != IGNORE).sum()))


def tally_shards(selector: Selector, where: Sequence[str]) -> Tally:
    """Look at labelled pictures, at each one's own size."""
    reader, tally = ShardReader(list(where)), Tally()
    for index in progress(range(len(reader)), "picture"):
        tally.add(selector.heats([reader.image(index)])[0], reader.mask(index))
    return tally


def summary(record: dict[str, Any], out: Path) -> str:
    """Two lines about a finished training."""
    told = record["tuning"]
    size = f"{record['parameters'] / 1e6:.2f} M parameters, {record['bytes'] / 1e6:.1f} MB"
    first = f"{out / SELECTOR}: {record['config']}, {size}, {told['num_labels']} labelled pictures"
    area = f"labels mark {told['label_area']:.1%} of a picture"
    if not told["taus"]:
        return f"{first}\n{area}; no validation pictures: tau is 0.5 or a number of yours"
    cuts = {"0.5": (told["half_iou"], 0.5)} | {n: (told["ious"][n], tau) for n, tau in told["taus"].items()}
    words = [f"{name} ({tau:.3f})" if name != "0.5" else "0.5" for name, (_, tau) in cuts.items()]
    ious = ", ".join(f"{word} {iou:.3f}" for word, (iou, _) in zip(words, cuts.values(), strict=True))
    return (
        f"{first}\n{area}, tau 0.5 selects {told['half_area']:.1%} of {told['num_validation']} validation pictures\n"
        f"artifact IoU there, by tau: {ious}"
    )
