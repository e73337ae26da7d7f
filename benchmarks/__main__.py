"""`python -m benchmarks [--out DIR]`: every benchmark in turn."""

from __future__ import annotations

import argparse
import subprocess
import sys

MODULES = {
    "psnr_nfe": "benchmarks.psnr_nfe",
    "line": "benchmarks.line",
    "export": "benchmarks.export",
    "purity": "experiments.purity",
}


def main() -> int:
    """The first failing benchmark's exit code, else 0."""
    top = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    top.add_argument("--out", default="out/bench", metavar="DIR")
    top.add_argument("--only", nargs="+", choices=MODULES, default=list(MODULES))
    args = top.parse_args()
    codes = [subprocess.call([sys.executable, "-m", MODULES[name], "--out", args.out]) for name in args.only]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
