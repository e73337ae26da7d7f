"""Pairs of one caption: a labelled wild picture, and a second sample of its caption that the oracle labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from experiments.repair.oracle import faulty_area
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes, write_json
from shards.images import encode_image
from shards.places import public_text
from shards.pool import open_pool
from shards.progress import GOES_ON, progress
from shards.reader import ShardReader

SECOND = 1 << 40
"""Noise of the second sample: the seed of its scene and this, which is the seed of no scene."""
BATCH = 16


@dataclass(frozen=True)
class Pairs:
    """Two pictures a caption, as files KEY_a.png and KEY_b.png with captions beside them; faulty pixels of each."""

    folder: Path
    areas: dict[str, int]

    def preferred(self) -> list[tuple[str, str, str]]:
        """(a, b, the one with the smaller faulty area or `tie`)."""
        keys = sorted(self.areas)
        return [(a, b, prefer(self.areas, a, b)) for a, b in zip(keys[::2], keys[1::2], strict=True)]


def prefer(areas: dict[str, int], a: str, b: str) -> str:
    """Which of two pictures has the smaller faulty area."""
    return "tie" if areas[a] == areas[b] else a if areas[a] < areas[b] else b


def make_pairs(where: str, count: int, steps: int, guidance: float, processes: int, out: Path) -> Pairs:
    """The first `count` captions of a labelled wild set; what is there already is kept. Raises UserErrors."""
    reader = ShardReader(where)
    if not 1 <= count <= len(reader):
        raise ConfigError(
            f"--captions is {count}; {public_text(where, 'set')} has {len(reader)}: give 1 to {len(reader)}"
        )
    folder = out / "pictures"
    make_folder(folder)
    seeds, areas = {}, {}
    for index in range(count):
        key, meta = reader.key(index), reader.meta(index)
        areas[f"{key}_a"] = int((reader.mask(index) == 1).sum())
        seeds[f"{key}_b"] = meta.seed
        save(folder, f"{key}_a", encode_image(reader.image(index), "png"), meta.source.caption)
    sample_seconds(
        folder, {f"{reader.key(i)}_b": reader.meta(i).source.caption for i in range(count)}, seeds, steps, guidance
    )
    return Pairs(folder, areas | oracle_areas(folder, seeds, processes, out / "areas.json"))


def save(folder: Path, key: str, png: bytes, caption: str) -> None:
    """A picture and its caption; the caption, written last, says that both are there."""
    if not (folder / f"{key}.txt").exists():
        write_bytes(folder / f"{key}.png", png)
        write_bytes(folder / f"{key}.txt", caption.encode())


def sample_seconds(folder: Path, captions: dict[str, str], seeds: dict[str, int], steps: int, guidance: float) -> None:
    """The second picture of each pair, by its key, a batch at a time."""
    missing = [key for key in captions if not (folder / f"{key}.txt").exists()]
    if not missing:
        return
    from miniworld.generator.sample import load_pipeline, sample_images

    pipe = load_pipeline()
    for start in progress(range(0, len(missing), BATCH), "batch", resumes=GOES_ON):
        keys = missing[start : start + BATCH]
        words, noise = [captions[key] for key in keys], [seeds[key] + SECOND for key in keys]
        for key, image in zip(keys, sample_images(pipe, words, noise, steps=steps, guidance=guidance), strict=True):
            save(folder, key, encode_image(image, "png"), captions[key])


def oracle_areas(folder: Path, seeds: dict[str, int], processes: int, file: Path) -> dict[str, int]:
    """Faulty pixels of the second pictures; kept in a file. Raises OutputError."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    missing = [key for key in seeds if key not in known]
    if missing:
        tasks = [(folder / f"{key}.png", seeds[key]) for key in missing]
        with open_pool(min(processes, len(tasks))) as pool:
            answers = progress(pool.imap(faulty_area, tasks), "picture", "oracle", total=len(tasks))
            for number, (key, area) in enumerate(zip(missing, answers, strict=True), 1):
                known[key] = area
                if number % BATCH == 0 or number == len(missing):
                    write_json(file, known)
    return {key: known[key] for key in seeds}
