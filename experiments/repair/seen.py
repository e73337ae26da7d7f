"""What does a detector mark of the faults that could be repaired? Pictures with a sign apart from those without.

    python -m experiments.repair.seen region_select/weights/swin_mini.safetensors --threshold 0.1 0.35 0.5

The embedded generator breaks nearly every sign and cannot draw one anew, so what a repair can do depends on the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards.errors import ConfigError, run_cli
from shards.markdown import table
from shards.reader import ShardReader

BATCH = 32
HEADS = ("threshold", "pictures", "faulty", "hit", "faulty pixels marked", "marked pixels faulty", "whole", "marked")
Bool = NDArray[np.bool_]


def run(args: argparse.Namespace) -> int:
    """Look at a labelled wild set and print the table. Raises UserErrors."""
    from detector.heat import Detector
    from miniworld.world.scenes import sample_scene

    if not all(0 < value < 1 for value in args.threshold):
        raise ConfigError(f"--threshold is {args.threshold}; allowed are numbers between 0 and 1")
    reader, detector = ShardReader(args.set), Detector(args.detector, device="cpu")
    places = range(len(reader))
    heats = np.concatenate(
        [detector.heat([reader.image(i) for i in places[at : at + BATCH]]) for at in places[::BATCH]]
    )
    truth = np.stack([reader.mask(i) == 1 for i in places])
    signs = np.array([any(one.kind == "sign" for one in sample_scene(reader.meta(i).seed).things) for i in places])
    rows = []
    for value in args.threshold:
        for name, kept in (("with a sign", signs), ("without", ~signs)):
            rows.append((f"{value:g}", name, *figures(heats[kept] >= np.float32(value), truth[kept])))
    print(table(HEADS, rows, numbers=True))
    return 0


def figures(marked: Bool, truth: Bool) -> tuple[str, ...]:
    """Of marks and labels [N, H, W]: counts and shares of faulty and of whole pictures."""
    faulty: Bool = np.any(truth, axis=(1, 2))
    both = marked & truth
    hit: Bool = np.any(both, axis=(1, 2))
    any_marked: Bool = np.any(marked, axis=(1, 2))
    return (
        str(int(faulty.sum())),
        share(hit[faulty].sum(), faulty.sum()),
        share(both.sum(), truth.sum()),
        share(both.sum(), marked.sum()),
        str(int((~faulty).sum())),
        share(any_marked[~faulty].sum(), (~faulty).sum()),
    )


def share(part: int, whole: int) -> str:
    """In percent; n/a of nothing."""
    return f"{100 * part / whole:.1f}%" if whole else "n/a"


def main(argv: Sequence[str] | None = None) -> int:
    """0 done, 2 wrong input."""
    top = argparse.ArgumentParser("python -m experiments.repair.seen", description=(__doc__ or "").partition("\n")[0])
    top.add_argument("detector", type=Path, metavar="WEIGHTS")
    top.add_argument("--set", default="miniworld/sets/v1/validation", metavar="DIR", help="labelled wild pictures")
    top.add_argument("--threshold", nargs="+", type=float, default=[0.5], metavar="P")
    return run_cli(lambda: run(top.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
