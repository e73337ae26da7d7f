"""What the classifiers learn from: the same scenes rendered, rendered and through the autoencoder, and sampled.

    OUT/renders/SEED.png       the scene as it is drawn
    OUT/round_trips/SEED.png   the same through the autoencoder, as the clean test pictures are
    OUT/samples/SEED.png       what the generator draws for the scene's caption

A picture is a function of its seed; one that is there is not made again. Both classes show the same captions, so that
what a picture shows does not give its class away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from miniworld.world.render import render
from miniworld.world.scenes import Scene, caption, sample_scene
from miniworld.world.splits import SPLITS
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes
from shards.images import decode_image, encode_image
from shards.masks import U8
from shards.progress import GOES_ON, Progress

SPLIT = SPLITS["wild-train"]
KINDS = RENDERS, ROUND_TRIPS, SAMPLES = "renders", "round_trips", "samples"
CHUNK = 16


def make_pictures(count: int, out: Path, steps: int) -> None:
    """Make what is missing of the first `count` scenes. Raises ConfigError, MissingInputError, OutputError."""
    if not 2 <= count <= SPLIT.count:
        raise ConfigError(f"--pictures is {count}; allowed are 2 to {SPLIT.count} of each kind")
    for kind in KINDS:
        make_folder(out / kind)
    seeds = [SPLIT.seed(index) for index in range(count)]
    missing = [seed for seed in seeds if not (out / SAMPLES / f"{seed}.png").exists()]
    if not missing:
        return
    from miniworld.generator.sample import load_pipeline

    pipe = load_pipeline()
    with Progress(len(missing), "scene", "pictures", resumes=GOES_ON) as shown:
        for first in range(0, len(missing), CHUNK):
            chunk = missing[first : first + CHUNK]
            make_chunk(pipe, [sample_scene(seed) for seed in chunk], out, steps)
            shown.update(len(chunk))


def make_chunk(pipe: Any, scenes: Sequence[Scene], out: Path, steps: int) -> None:
    """The three pictures of each scene; the sample last, since it says that all are there."""
    from miniworld.generator.sample import round_trip, sample_images

    drawn = np.stack([render(scene) for scene in scenes])
    seeds = [scene.seed for scene in scenes]
    sampled = sample_images(pipe, [caption(scene) for scene in scenes], seeds, steps=steps, batch=CHUNK)
    for kind, images in ((RENDERS, drawn), (ROUND_TRIPS, round_trip(pipe, drawn)), (SAMPLES, sampled)):
        for seed, image in zip(seeds, images, strict=True):
            write_bytes(out / kind / f"{seed}.png", encode_image(image, "png"))


def read_pictures(folder: Path, count: int) -> U8:
    """uint8 [count, 64, 64, 3], in the order of the seeds."""
    return np.stack([decode_image((folder / f"{SPLIT.seed(i)}.png").read_bytes()) for i in range(count)])
