"""Does repair help? Pictures of the embedded world, repaired in several ways, judged by the oracle.

    python -m experiments.repair --faulty 300 --clean 300 --seeds 3 --zoom 1.0 1.5 2 3 whole --out out/repair_study

Of a labelled wild set so many pictures with a fault and so many without are repaired, once for each zoom, strength and
seed; a seed may have a detector of its own. The oracle says before and after whether a picture has a fault; the
detector alone takes part in the repair.
Intervals are over pictures. A run that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from applications.repair.options import EMBEDDED, NOISED, FillOptions, RepairOptions, read_zoom
from experiments.repair.study import Arm, Study, run_study
from shards.errors import ConfigError, run_cli

DETECTOR = Path("region_select/weights/swin_mini.safetensors")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser("python -m experiments.repair", description=(__doc__ or "").partition("\n")[0])
    top.add_argument("--set", default="miniworld/sets/v1/wild-test", metavar="DIR", help="labelled wild pictures")
    top.add_argument(
        "--detector",
        nargs="+",
        type=Path,
        default=[DETECTOR],
        metavar="WEIGHTS",
        help="one for all seeds, or one for each",
    )
    top.add_argument("--inpainter", default=EMBEDDED, metavar="ID")
    top.add_argument("--faulty", type=int, default=300, metavar="N", help="pictures with a fault (default 300)")
    top.add_argument("--clean", type=int, default=300, metavar="N", help="pictures without one (default 300)")
    top.add_argument("--seeds", type=int, default=3, help="of the noise (default 3)")
    top.add_argument("--zoom", nargs="+", default=["1.5", "whole"], metavar="Z")
    top.add_argument("--strength", nargs="+", type=float, default=[1.0], metavar="F")
    top.add_argument("--dilation", nargs="+", type=float, default=[10.0], metavar="N")
    top.add_argument("--rounds", nargs="+", type=int, default=[3], metavar="N")
    top.add_argument("--threshold", nargs="+", type=float, default=[0.5], metavar="P", help="of the detectors")
    top.add_argument("--least-drop", nargs="+", type=float, default=[0.1], metavar="F")
    top.add_argument("--steps", type=int)
    top.add_argument("--known", default=NOISED, help="noised or inverted latents outside the mask")
    top.add_argument("--guidance", type=float)
    top.add_argument("--dtype", default="auto", help="of the denoiser, such as bfloat16")
    top.add_argument("--no-check", action="store_true", help="keep every repair unseen, in one round")
    top.add_argument("--batch", type=int, default=16)
    top.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="side by side")
    top.add_argument("--out", type=Path, default=Path("out/repair_study"), metavar="DIR")
    return top


def run(args: argparse.Namespace) -> int:
    """Exit code."""
    if args.faulty < 1 or args.clean < 0 or args.seeds < 1 or args.processes < 1:
        raise ConfigError("--faulty, --seeds and --processes must be 1 or more, --clean 0 or more")
    arms = [
        Arm(
            f"zoom {zoom}" + (f", strength {strength:g}" if len(args.strength) > 1 else "")
            + (f", dilation {dilation:g}" if len(args.dilation) > 1 else "")
            + (f", rounds {rounds}" if len(args.rounds) > 1 else "")
            + (f", drop {drop:g}" if len(args.least_drop) > 1 else ""),
            RepairOptions(
                zoom=read_zoom(zoom),
                dilation=dilation,
                rounds=1 if args.no_check else rounds,
                least_drop=drop,
                check=not args.no_check,
                batch=args.batch,
            ),
            FillOptions(args.steps, args.guidance, strength, known=args.known, dtype=args.dtype),
        )
        for zoom in args.zoom
        for strength in args.strength
        for dilation in args.dilation
        for rounds in args.rounds
        for drop in args.least_drop
    ]  # fmt: skip
    print(
        run_study(
            Study(
                args.set,
                tuple(args.detector),
                tuple(args.threshold),
                args.inpainter,
                args.faulty,
                args.clean,
                args.seeds,
            ),
            arms,
            args.out,
            args.processes,
        )
    )
    return 0


def main() -> int:
    """0 done, 2 wrong input."""
    return run_cli(lambda: run(parser().parse_args()))


if __name__ == "__main__":
    sys.exit(main())
