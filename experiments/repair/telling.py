"""Can a detector tell which attempt mended a picture? What it marks is inpainted again and again, the oracle looks.

    python -m experiments.repair.telling WEIGHTS --threshold 0.2 --pictures 120 --attempts 6 --out out/repair_telling

Every attempt begins with the picture as it came and is kept unseen. What one attempt in so many reaches is what a loop
could reach whose judge knows the truth; how well the fall of the detector's heat tells attempts after which the oracle
finds no fault from the others (AUROC, chance 50%) is what its own judge is worth.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from applications.repair.options import FillOptions, RepairOptions, read_zoom
from experiments.repair.filling import add_filling, filling_of
from experiments.repair.oracle import faulty_area
from experiments.repair.study import interval, percent
from shards.claims import Claim
from shards.errors import ConfigError, run_cli
from shards.files import make_folder, write_bytes, write_json
from shards.images import encode_image
from shards.markdown import table
from shards.pool import open_pool
from shards.progress import progress
from shards.reader import ShardReader

BATCH = 32
Attempt = dict[str, list[float]]
"""`mass`: summed heat after it, `area`: faulty pixels after it, for each picture; -1 where nothing was marked."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        "python -m experiments.repair.telling", description=(__doc__ or "").partition("\n")[0]
    )
    top.add_argument("detector", type=Path, metavar="WEIGHTS")
    top.add_argument("--threshold", type=float, default=0.5, metavar="P")
    add_filling(top)
    top.add_argument("--pictures", type=int, default=120, metavar="N", help="the first of the set (default 120)")
    top.add_argument("--attempts", type=int, default=6, metavar="N")
    top.add_argument("--zoom", default="whole", metavar="Z")
    top.add_argument("--out", type=Path, default=Path("out/repair_telling"), metavar="DIR")
    return top


def run(args: argparse.Namespace) -> int:
    """Exit code."""
    reader = ShardReader(args.set)
    if not 1 <= args.pictures <= len(reader) or args.attempts < 1 or args.processes < 1:
        raise ConfigError(f"--pictures must be 1 to {len(reader)}, --attempts and --processes 1 or more")
    fill = filling_of(args)
    asked = {name: getattr(args, name) for name in ("set", "inpainter", "pictures", "threshold", "zoom")}
    asked |= {"detector": str(args.detector), "fill": asdict(fill)}
    make_folder(args.out)
    with Claim(args.out, "run.json", asked, "telling").held():
        attempts = [attempt(args, reader, fill, seed) for seed in range(args.attempts)]
        faulty = np.array([reader.meta(index).label == "artifact" for index in range(args.pictures)])
        text = as_table(before(args, reader), attempts, faulty)
        write_json(args.out / "telling.json", {"asked": asked, "attempts": attempts})
        write_bytes(args.out / "telling.md", text.encode())
    print(text, end="")
    return 0


def before(args: argparse.Namespace, reader: ShardReader) -> NDArray[np.float64]:
    """Summed heat of the pictures as they came."""
    from detector.heat import Detector

    return masses(Detector(args.detector, device="cpu"), [reader.image(i) for i in range(args.pictures)])


def masses(detector: Any, images: Sequence[Any]) -> NDArray[np.float64]:
    heats = [heat for at in range(0, len(images), BATCH) for heat in detector.heat(images[at : at + BATCH])]
    return np.array([heat.sum(dtype=np.float64) for heat in heats])


def attempt(args: argparse.Namespace, reader: ShardReader, fill: FillOptions, seed: int) -> Attempt:
    """One attempt at every picture; one that is done is read. Raises RepairError, OutputError."""
    from applications.repair.inpainter import open_inpainter
    from applications.repair.loop import Repairer, Work
    from detector.heat import Detector

    file = args.out / "attempts" / f"{seed}.json"
    if file.exists():
        told: Attempt = json.loads(file.read_text())
        return told
    detector = Detector(args.detector, device="cpu")
    options = RepairOptions(
        threshold=args.threshold, zoom=read_zoom(args.zoom), rounds=1, check=False, seed=seed, device="cpu"
    )
    works = [Work(reader.image(i), reader.meta(i).source.caption, reader.key(i)) for i in range(args.pictures)]
    Repairer(detector, open_inpainter(args.inpainter, options=fill, device="cpu"), options)(works)
    folder = args.out / "attempts" / str(seed)
    make_folder(folder)
    places = [place for place, work in enumerate(works) if work.changed.any()]
    for place in places:
        write_bytes(folder / f"{works[place].name}.png", encode_image(works[place].image, "png"))
    tasks = [(folder / f"{works[place].name}.png", reader.meta(place).seed) for place in places]
    areas = np.full(len(works), -1)
    with open_pool(max(1, min(args.processes, len(tasks)))) as pool:
        areas[places] = list(progress(pool.imap(faulty_area, tasks), "picture", "oracle", total=len(tasks)))
    mass = masses(detector, [work.image for work in works])
    result: Attempt = {"mass": mass.tolist(), "area": areas.tolist()}
    write_json(file, result)
    return result


def as_table(start: NDArray[np.float64], attempts: Sequence[Attempt], faulty: NDArray[np.bool_]) -> str:
    """Markdown: how often attempts mend, and what the detector's heat says of them."""
    area, mass = (np.array([one[name] for one in attempts]) for name in ("area", "mass"))
    tried = area >= 0
    mended = (area == 0) & faulty
    left = mass / np.maximum(start, 1e-9)
    among = tried & faulty
    rows = [
        ("faulty pictures in which something is marked", percent(interval(tried[0][faulty].astype(np.float64)))),
        ("mended by one attempt", percent(interval(mended[:, faulty].mean(0)))),
        (f"mended by one of {len(attempts)}", percent(interval(mended[:, faulty].any(0).astype(np.float64)))),
        ("share of the heat that is left where it was mended (median)", median(left[among & mended])),
        ("where it was not", median(left[among & ~mended])),
        ("AUROC of that share", "n/a" if not (among & mended).any() else f"{told_apart(left, among, mended):.1%}"),
    ]
    about = f"{int(faulty.sum())} faulty pictures of {len(faulty)}; in brackets 95% over pictures."
    return table(["", ""], rows) + f"\n\n{about}\n"


def median(values: NDArray[np.float64]) -> str:
    return f"{np.median(values):.1%}" if values.size else "n/a"


def told_apart(left: NDArray[np.float64], among: NDArray[np.bool_], mended: NDArray[np.bool_]) -> float:
    """How often a mended attempt has less heat left than one that is not mended, ties counting half."""
    good, bad = left[among & mended], left[among & ~mended]
    if not bad.size:
        return float("nan")
    less, equal = good[:, None] < bad[None], good[:, None] == bad[None]
    return float((less + 0.5 * equal).mean())


def main(argv: Sequence[str] | None = None) -> int:
    """0 done, 2 wrong input."""
    return run_cli(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
