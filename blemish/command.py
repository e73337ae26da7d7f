"""`blemish VERB`: every command of this package in one tree.

Each package keeps its own parser and `python -m PACKAGE`; here a verb only says where it lies. That module is imported
when its verb is asked for, so that `blemish --help` is there at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

EXAMPLES = """examples:
  blemish shards configs/shards/miniworld.py --out out/miniworld
  blemish check out/miniworld
  blemish show out/miniworld --out sheet.png
  blemish view out/miniworld
  blemish status out/miniworld
  blemish detect train configs/detector/swin_mini.py --shards out/miniworld --out out/detector
  blemish detect predict out/detector/weights.safetensors pictures --out out/seen
  blemish config fields

`blemish VERB --help` says more. From Python: import blemish
"""


@dataclass(frozen=True)
class Verb:
    """Where a verb's parser is."""

    module: str
    """Has `main(argv, prog)`."""
    help: str
    is_group: bool = False
    """It has verbs of its own: the module's whole parser; else the module's verb of the same name."""


VERBS: dict[str, Verb] = {
    "shards": Verb("corruptor.__main__", "make labelled shards; the same command again resumes a stopped run"),
    "remake": Verb("corruptor.__main__", "make one sample again from what its shard says of it, and compare"),
    "check": Verb("shards.__main__", "is every sample whole and valid? exit 0 yes, 1 no"),
    "show": Verb("shards.__main__", "contact sheet as PNG"),
    "view": Verb("shards.__main__", "pages to look through a run in a browser: samples, masks, twins, facts, rejects"),
    "status": Verb(
        "shards.__main__",
        "how far a run is and which of its processes work; exit 0 running or finished, 1 neither",
    ),
    "index": Verb(
        "shards.__main__",
        "learn what lies where in tars, here or behind an address, so that runs start at once",
    ),
    "gather": Verb("shards.__main__", "the pictures that a source gives, as plain files"),
    "import": Verb("shards.__main__", "turn an outside set into shards"),
    "export": Verb("shards.__main__", "write shards in the layout of another tool"),
    "publish": Verb(
        "shards.__main__", "upload a finished run to the Hugging Face hub as a dataset; the same command again resumes"
    ),
    "detect": Verb("detector.__main__", "train a detector on shards, look at pictures with it, score it", True),
    "regions": Verb("region_select.__main__", "where to damage: train a selector, use it, see what it selects", True),
    "repair": Verb("applications.__main__", "inpaint what a detector marks, look again, and undo what did not help"),
    "rank": Verb(
        "applications.__main__",
        "pictures by their share of artifact: percentiles, best of several, agreement with people",
    ),
    "report": Verb(
        "applications.__main__",
        "how much artifact, where and in what: of labelled runs and of predictions, as one HTML file",
    ),
    "adapt": Verb(
        "applications.__main__",
        "train a detector further on a few pictures of a new generator; exit 1 if it forgets the old ones",
    ),
    "baseline": Verb(
        "applications.__main__",
        "heat maps of a method that the papers compare with, in the form that `detect score` takes",
    ),
    "ablate": Verb("ablation.__main__", "train and test the arms of a grid alike, and say what differs"),
    "leakcheck": Verb("leakcheck.__main__", "can a detector tell a label by how its picture was made?", True),
    "world": Verb("miniworld.__main__", "the embedded world: its pictures, its generator, its labelled sets", True),
    "config": Verb("blemish.config_command", "what a config may hold, and what one holds", True),
}


def parser() -> argparse.ArgumentParser:
    """The top of the tree; what is below is loaded by `main`."""
    top = argparse.ArgumentParser(
        "blemish",
        description="Labelled image artifacts without labelling, and detectors trained on them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="say which version this is")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.help, add_help=False)
    return top


class _Version(argparse.Action):
    """`--version`, looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from blemish import __version__

        print(f"blemish {__version__}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 a check failed, 2 wrong input, 130 stopped, 141 nobody reads the output."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in VERBS:
        parser().parse_args(words)  # help, version, or an error that lists the verbs
        return 2
    name, verb = words[0], VERBS[words[0]]
    module = importlib.import_module(verb.module)
    try:
        code: int = module.main(words[1:], f"blemish {name}") if verb.is_group else module.main(words, "blemish")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


if __name__ == "__main__":
    sys.exit(main())
