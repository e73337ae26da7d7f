"""How far could any detector get? Each faulty picture is inpainted under its true mask, and the oracle looks again.

    python -m experiments.repair.ceiling --pictures 40 --attempts 3 --zoom 1.5 whole --out out/repair_ceiling

No detector takes part: the masks are the labels, all of a picture's regions are replaced at once, and every attempt
begins with the picture as it came. An attempt counts where the oracle finds no fault afterwards. What one attempt in so
many reaches is what a loop could reach that knows the truth. Signs are counted apart: this generator cannot spell.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from applications.repair.options import FillOptions, RepairOptions, read_zoom
from experiments.repair.filling import add_filling, filling_of
from experiments.repair.oracle import faulty_area
from experiments.repair.study import Picture, Study, interval, lay_out, percent
from shards.claims import Claim
from shards.errors import ConfigError, run_cli
from shards.files import make_folder, write_bytes, write_json
from shards.images import decode_image, encode_image
from shards.markdown import table
from shards.masks import U8
from shards.pool import open_pool
from shards.progress import progress
from shards.reader import ShardReader

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """How a mask is filled."""

    zoom: str
    dilation: float

    @property
    def name(self) -> str:
        return f"zoom {self.zoom}, dilation {self.dilation:g}"


class Truth:
    """Stands where a detector does: the heat of a picture as it came is its label, of any other nothing."""

    def __init__(self, masks: dict[bytes, U8]) -> None:
        self.masks = masks

    def heat(self, images: list[U8]) -> list[F32]:
        """uint8 HWC pictures -> float32 HW, 0 and 1."""
        nothing = np.zeros(images[0].shape[:2], np.uint8)
        return [self.masks.get(image.tobytes(), nothing).astype(np.float32) for image in images]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        "python -m experiments.repair.ceiling", description=(__doc__ or "").partition("\n")[0]
    )
    add_filling(top)
    top.add_argument("--pictures", type=int, default=40, metavar="N", help="faulty ones (default 40)")
    top.add_argument("--attempts", type=int, default=3, metavar="N")
    top.add_argument("--zoom", nargs="+", default=["1.5", "whole"], metavar="Z")
    top.add_argument("--dilation", nargs="+", type=float, default=[10.0], metavar="N")
    top.add_argument("--out", type=Path, default=Path("out/repair_ceiling"), metavar="DIR")
    return top


def run(args: argparse.Namespace) -> int:
    """Exit code."""
    if args.pictures < 1 or args.attempts < 1 or args.processes < 1:
        raise ConfigError("--pictures, --attempts and --processes must be 1 or more")
    fill = filling_of(args)
    asked = {"set": args.set, "inpainter": args.inpainter, "pictures": args.pictures, "fill": asdict(fill)}
    ways = [Way(zoom, dilation) for zoom in args.zoom for dilation in args.dilation]
    make_folder(args.out)
    with Claim(args.out, "run.json", asked, "ceiling").held():
        study = Study(args.set, (Path(),), (0.5,), args.inpainter, args.pictures, 0, args.attempts)
        pictures = lay_out(study, args.out / "pictures")
        after = {way.name: areas_after(args, way, fill, pictures) for way in ways}
        text = as_table(after, pictures)
        write_json(args.out / "ceiling.json", {"asked": asked, "after": {k: v.tolist() for k, v in after.items()}})
        write_bytes(args.out / "ceiling.md", text.encode())
    print(text, end="")
    return 0


def areas_after(args: argparse.Namespace, way: Way, fill: FillOptions, pictures: list[Picture]) -> NDArray[np.int64]:
    """Faulty pixels, [attempts, pictures]; attempts that are done are read. Raises RepairError, OutputError."""
    return np.array([attempt(args, way, fill, pictures, seed) for seed in range(args.attempts)])


def attempt(args: argparse.Namespace, way: Way, fill: FillOptions, pictures: list[Picture], seed: int) -> list[int]:
    """One attempt at every picture."""
    folder = args.out / "attempts" / f"{way.name.replace(', ', '_').replace(' ', '')}_{seed}"
    file = folder / "areas.json"
    if file.exists():
        told: list[int] = json.loads(file.read_text())
        return told
    make_folder(folder)
    images = filled(args, way, fill, pictures, seed)
    for one, image in zip(pictures, images, strict=True):
        write_bytes(folder / f"{one.key}.png", encode_image(image, "png"))
    tasks = [(folder / f"{one.key}.png", one.seed) for one in pictures]
    with open_pool(min(args.processes, len(tasks))) as pool:
        areas = list(progress(pool.imap(faulty_area, tasks), "picture", "oracle", total=len(tasks)))
    write_json(file, areas)
    return areas


def filled(args: argparse.Namespace, way: Way, fill: FillOptions, pictures: list[Picture], seed: int) -> list[U8]:
    """The pictures with all of their faults inpainted once, unseen."""
    from applications.repair.inpainter import open_inpainter
    from applications.repair.loop import Repairer, Work

    reader = ShardReader(args.set)
    place = {reader.key(index): index for index in range(len(reader))}
    folder = args.out / "pictures"
    images = [decode_image((folder / f"{one.key}.png").read_bytes()) for one in pictures]
    masks = {
        image.tobytes(): (reader.mask(place[one.key]) == 1).astype(np.uint8)
        for one, image in zip(pictures, images, strict=True)
    }
    options = RepairOptions(zoom=read_zoom(way.zoom), dilation=way.dilation, rounds=1, check=False, seed=seed)
    works = [
        Work(image, (folder / f"{one.key}.txt").read_text(), one.key)
        for one, image in zip(pictures, images, strict=True)
    ]
    truth: Any = Truth(masks)
    Repairer(truth, open_inpainter(args.inpainter, options=fill, device="cpu"), options)(works)
    return [work.image for work in works]


def as_table(after: dict[str, NDArray[np.int64]], pictures: list[Picture]) -> str:
    """Markdown: shares of pictures without a fault, intervals over pictures."""
    signs = np.array(["sign" in one.kinds for one in pictures])
    rows = []
    for name, areas in after.items():
        whole = areas == 0
        cells = [percent(interval(whole.mean(0))), percent(interval(whole.any(0).astype(np.float64)))]
        cells += [percent(interval(whole.any(0)[kept].astype(np.float64))) for kept in (~signs, signs)]
        rows.append((name, *cells))
    attempts = len(next(iter(after.values())))
    any_of = f"one of {attempts}"
    heads = ["way", "one attempt", any_of, f"{any_of}, no sign asked for", f"{any_of}, a sign"]
    about = f"{len(pictures)} pictures with a fault, {int(signs.sum())} with a sign; no fault after, 95% over pictures."
    return table(heads, rows, numbers=True) + f"\n\n{about}\n"


def main(argv: list[str] | None = None) -> int:
    """0 done, 2 wrong input."""
    return run_cli(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
