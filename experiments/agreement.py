"""Does PAR prefer what the oracle prefers? Pairs of samples of one caption in the embedded world.

    python -m experiments.agreement --captions 150 --out out/agreement

Two pictures are sampled of each caption; of a pair the one with the smaller faulty area is preferred, equal areas are a
tie and left out (`--ties` keeps them). The detector looks at the pictures and `applications.ranking` counts, beside
chance and a score that knows nothing of faults: sharpness, the variance of the Laplacian.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from experiments.repair.oracle import faulty_area
from miniworld.world.scenes import caption, sample_scene
from miniworld.world.splits import SPLITS
from shards.errors import ConfigError, run_cli
from shards.files import make_folder, write_bytes
from shards.images import encode_image
from shards.masks import U8
from shards.pool import open_pool
from shards.progress import progress

DETECTOR = Path("region_select/weights/swin_mini.safetensors")
FIRST = 2_000
"""Captions of wild-test from here on: those before are the pictures of the labelled set."""


def main() -> int:
    """0 done, 2 wrong input."""
    top = argparse.ArgumentParser("python -m experiments.agreement", description=(__doc__ or "").partition("\n")[0])
    top.add_argument("--captions", type=int, default=150, metavar="N")
    top.add_argument("--detector", type=Path, default=DETECTOR, metavar="WEIGHTS")
    top.add_argument("--ties", action="store_true", help="keep pairs whose faulty areas are equal")
    top.add_argument("--steps", type=int, default=30)
    top.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="of the oracle")
    top.add_argument("--out", type=Path, default=Path("out/agreement"), metavar="DIR")
    return run_cli(lambda: run(top.parse_args()))


def run(args: argparse.Namespace) -> int:
    """Sample, judge, predict, count."""
    from applications.ranking.write import agree
    from detector.predict import Options, predict

    if not 1 <= args.captions <= SPLITS["wild-test"].count - FIRST or args.processes < 1:
        raise ConfigError(f"--captions must be 1 to {SPLITS['wild-test'].count - FIRST}, --processes 1 or more")
    pictures = args.out / "pictures"
    keys, seeds = sample(args.captions, pictures, args.steps)
    tasks = [(pictures / f"{key}.png", seed) for key, seed in zip(keys, seeds, strict=True)]
    with open_pool(min(args.processes, len(tasks))) as pool:
        answers = list(progress(pool.imap(faulty_area, tasks), "picture", "oracle", total=len(tasks)))
    areas = dict(zip(keys, answers, strict=True))
    pairs = [(a, b, prefer(areas, a, b)) for a, b in zip(keys[::2], keys[1::2], strict=True)]
    if not args.ties:
        pairs = [pair for pair in pairs if pair[2] != "tie"]
    write_csv(args.out / "pairs.csv", ("a", "b", "preferred"), pairs)
    write_csv(args.out / "sharpness.csv", ("key", "score"), [(key, sharpness(pictures / f"{key}.png")) for key in keys])
    predict(args.detector, str(pictures), args.out / "seen", Options(overlays=False))
    print(agree(args.out / "seen", args.out / "pairs.csv", args.out, [("sharpness", args.out / "sharpness.csv")]))
    return 0


def sample(count: int, out: Path, steps: int) -> tuple[list[str], list[int]]:
    """Two pictures of each caption with their captions as files; keys and scene seeds, pair by pair."""
    from miniworld.generator.sample import load_pipeline, sample_images

    make_folder(out)
    scene_seeds = [SPLITS["wild-test"].seed(FIRST + number) for number in range(count) for _ in range(2)]
    keys = [f"{number:05d}_{half}" for number in range(count) for half in "ab"]
    words = [caption(sample_scene(seed)) for seed in scene_seeds]
    if not all((out / f"{key}.txt").exists() for key in keys):
        # Noise of the second of a pair: a seed that no scene has.
        noise = [seed + (1 << 40) * (place % 2) for place, seed in enumerate(scene_seeds)]
        images = sample_images(load_pipeline(), words, noise, steps=steps)
        for key, image, text in zip(keys, images, words, strict=True):
            write_bytes(out / f"{key}.png", encode_image(image, "png"))
            write_bytes(out / f"{key}.txt", text.encode())
    return keys, scene_seeds


def prefer(areas: dict[str, int], a: str, b: str) -> str:
    """Which of two pictures has the smaller faulty area."""
    return "tie" if areas[a] == areas[b] else a if areas[a] < areas[b] else b


def sharpness(path: Path) -> str:
    """Variance of the Laplacian of the grey picture."""
    from shards.images import decode_image

    grey: U8 = decode_image(path.read_bytes())
    return f"{float(np.var(ndimage.laplace(grey.astype(np.float64).mean(-1)))):.6g}"


def write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(head)
    lines.writerows(rows)
    write_bytes(path, text.getvalue().encode())


if __name__ == "__main__":
    sys.exit(main())
