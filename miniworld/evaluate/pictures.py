"""A folder of pictures that the source `folder` takes as it is, and a sheet to look at beside it.

OUT/NUMBER.png, NUMBER.txt    picture and caption
OUT/scenes.jsonl              what each shows, and its seed
OUT.sheet.png                 the first 64, and no picture among the others
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from miniworld.evaluate.sheets import Pixels, save, scene_sheet
from miniworld.world.render import render
from miniworld.world.scenes import Scene, caption, sample_scene
from miniworld.world.splits import SPLITS
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes
from shards.progress import Progress, progress

BATCH = 8


def choose_scenes(count: int, first: int | None = None) -> list[Scene]:
    """`count` scenes from seed `first` on, by default the first for show. Raises ConfigError (a ValueError)."""
    if count < 1:
        raise ConfigError(f"--n is {count}: give a whole number of at least 1")
    first = SPLITS["show"].start if first is None else first
    return [sample_scene(first + i) for i in range(count)]


def render_pictures(scenes: Sequence[Scene], out: Path) -> None:
    """The scenes as rendered, without any model. Raises OutputError."""
    write_pictures([render(scene) for scene in progress(scenes, "picture")], scenes, out)


def sample_pictures(
    scenes: Sequence[Scene], out: Path, weights: Path, steps: int | None = None, guidance: float | None = None
) -> None:
    """What the generator makes of the scenes' captions, by default with its usual steps and guidance.

    Raises ConfigError for steps outside 1..1000, MissingInputError without weights, OutputError.
    """
    from miniworld.generator.sample import GUIDANCE, check_steps, load_pipeline, sample_images

    steps, guidance = check_steps(steps), GUIDANCE if guidance is None else guidance
    pipe = load_pipeline(weights)
    images: list[Pixels] = []
    with Progress(len(scenes), "picture") as bar:
        for at in range(0, len(scenes), BATCH):
            part = scenes[at : at + BATCH]
            words, seeds = [caption(scene) for scene in part], [scene.seed for scene in part]
            images += list(sample_images(pipe, words, seeds, steps=steps, guidance=guidance))
            bar.update(len(part))
    write_pictures(images, scenes, out)


def write_pictures(images: Sequence[Pixels], scenes: Sequence[Scene], out: Path) -> None:
    """Pictures (uint8 HWC) with their captions and specifications, and a sheet of the first 64. Raises OutputError."""
    make_folder(out)
    for i, (image, scene) in enumerate(zip(images, scenes, strict=True)):
        write_bytes(out / f"{i:04d}.txt", f"{caption(scene)}\n".encode())
        save(out / f"{i:04d}.png", image)
    write_bytes(out / "scenes.jsonl", "".join(json.dumps(scene.to_dict()) + "\n" for scene in scenes).encode())
    save(sheet_of(out), scene_sheet(images[:64], scenes[:64]))


def sheet_of(out: Path) -> Path:
    """Where the sheet of the pictures in a folder is."""
    folder = out.absolute() if out.name in ("", "..") else out
    return folder.with_name(f"{folder.name}.sheet.png")
