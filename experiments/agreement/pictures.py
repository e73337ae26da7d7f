"""Pairs of labelled wild pictures of the same kinds of things; or of one and a second sample of its caption."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from experiments.repair.oracle import faulty_area
from miniworld.world.scenes import content_of
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes, write_json
from shards.images import encode_image
from shards.places import public_text
from shards.pool import open_pool
from shards.progress import GOES_ON, progress
from shards.reader import ShardReader
from shards.seeds import named_seed

BATCH = 16


@dataclass(frozen=True)
class Pairs:
    """Where the pictures are, faulty pixels of each by key, and which are paired."""

    where: str
    areas: dict[str, int]
    keys: list[tuple[str, str]]

    def preferred(self) -> list[tuple[str, str, str]]:
        """(a, b, the one with the smaller faulty area or `tie`)."""
        return [(a, b, prefer(self.areas, a, b)) for a, b in self.keys]


def prefer(areas: dict[str, int], a: str, b: str) -> str:
    """Which of two pictures has the smaller faulty area."""
    return "tie" if areas[a] == areas[b] else a if areas[a] < areas[b] else b


def content_pairs(where: str) -> Pairs:
    """Labelled pictures whose captions name the same kinds of things, two by two in the order of the set, each once."""
    reader = ShardReader(where)
    areas, groups = {}, defaultdict(list)
    for index in range(len(reader)):
        key = reader.key(index)
        areas[key] = int((reader.mask(index) == 1).sum())
        groups[content_of(reader.meta(index).source.caption)].append(key)
    keys = [pair for members in groups.values() for pair in zip(members[::2], members[1::2], strict=False)]
    return Pairs(where, areas, keys)


def caption_pairs(where: str, count: int, steps: int, guidance: float, processes: int, out: Path) -> Pairs:
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
    areas |= oracle_areas(folder, seeds, processes, out / "areas.json")
    return Pairs(str(folder), areas, [(f"{reader.key(i)}_a", f"{reader.key(i)}_b") for i in range(count)])


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
        # A name's hash: torch's generator looks at the lower 32 bits of a seed alone, so no sum with a larger one does.
        words, noise = [captions[key] for key in keys], [named_seed(f"agreement/{seeds[key]}") for key in keys]
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
