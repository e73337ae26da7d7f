"""How masks are filled, on the command lines of experiments in which no loop takes part."""

from __future__ import annotations

import argparse
import os

from applications.repair.options import DTYPES, EMBEDDED, NOISED, FillOptions


def add_filling(top: argparse.ArgumentParser) -> None:
    """What is filled, by what, and how."""
    top.add_argument("--set", default="miniworld/sets/v1/validation", metavar="DIR", help="labelled wild pictures")
    top.add_argument("--inpainter", default=EMBEDDED, metavar="ID")
    top.add_argument("--strength", type=float, default=1.0, metavar="F")
    top.add_argument("--known", default=NOISED, help="noised or inverted latents outside the mask")
    top.add_argument("--steps", type=int, default=20)
    top.add_argument("--guidance", type=float, default=2.5)
    top.add_argument("--dtype", default="auto", choices=DTYPES, help="of the denoiser")
    top.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="of the oracle")


def filling_of(args: argparse.Namespace) -> FillOptions:
    """Raises ConfigError."""
    return FillOptions(args.steps, args.guidance, args.strength, known=args.known, dtype=args.dtype)
