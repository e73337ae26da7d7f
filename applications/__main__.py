"""`python -m applications VERB`: what a detector is for."""

from __future__ import annotations

import argparse
import sys

from shards.errors import run_verb

ABOUT = __doc__.partition(": ")[2]
EXAMPLES = """examples:
  blemish repair pictures --detector out/detector/weights.safetensors --inpainter miniworld/weights --out out/repaired
  blemish rank agree out/seen --pairs pairs.csv --out out/agreement
"""


def parser(prog: str = "python -m applications") -> argparse.ArgumentParser:
    """The whole command line; `prog` is what it is called by."""
    from applications.adapt import command as adapt
    from applications.baselines import command as baselines
    from applications.ranking import command as ranking
    from applications.repair import command as repair
    from applications.statistics import command as statistics

    top = argparse.ArgumentParser(
        prog, description=ABOUT, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    repair.add_verb(verbs)
    ranking.add_group(verbs)
    statistics.add_verb(verbs)
    adapt.add_verb(verbs)
    baselines.add_verb(verbs)
    return top


def main(argv: list[str] | None = None, prog: str = "python -m applications") -> int:
    """Exit code: 0 done, 2 wrong input."""
    return run_verb(parser(prog).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
