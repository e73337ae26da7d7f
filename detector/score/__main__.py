"""`python -m detector.score`: the score command alone, without the rest of the detector."""

from __future__ import annotations

import argparse
import sys

from detector.score.command import HELP, add_arguments, run
from shards.errors import run_cli


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 wrong input."""
    parser = argparse.ArgumentParser("python -m detector.score", description=HELP)
    add_arguments(parser)
    args = parser.parse_args(argv)
    return run_cli(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
