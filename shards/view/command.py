"""`blemish view`: the page of a run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from shards.errors import ConfigError, MissingInputError
from shards.progress import progress
from shards.store_run import place
from shards.stores import Address

MOST_SIDE = 2048
EXAMPLES = """examples:
  blemish view out/miniworld
  blemish view miniworld/sets/v1/faults-test --out out/faults
  blemish view s3://bucket/run --out out/page
"""


def add_view(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a command line."""
    view = verbs.add_parser(
        "view",
        help="pages to look through a run in a browser: samples, masks, twins, facts, rejects",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    view.add_argument(
        "where",
        metavar="DIR",
        help="run folder, complete or not, folder of tars, or one tar; here or s3://bucket/run (gs://, az://)",
    )
    view.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the page (default DIR/view; of a run in a store name one)"
    )
    view.add_argument("--n", type=int, default=10_000, help="samples at most, spread evenly (default 10000)")
    view.add_argument("--side", type=int, default=192, help="longer side of a picture in pixels (default 192)")
    view.add_argument(
        "--reject-pictures",
        type=int,
        default=0,
        metavar="N",
        help="of each reason show N rejected inputs as pictures; opens the run's source again (default 0, at most 100)",
    )
    view.set_defaults(run=run_view)


def run_view(args: argparse.Namespace) -> int:
    """Write the page and say where."""
    from shards.view.rejects import LISTED
    from shards.view.run import VIEW, view_run

    if args.n < 1:
        raise ConfigError(f"--n must be 1 or more, got {args.n}")
    if not 16 <= args.side <= MOST_SIDE:
        raise ConfigError(f"--side must be 16 to {MOST_SIDE} pixels, got {args.side}")
    if not 0 <= args.reject_pictures <= LISTED:
        raise ConfigError(f"--reject-pictures must be 0 to {LISTED}, got {args.reject_pictures}")
    where = place(args.where)
    if isinstance(where, Address):
        if args.out is None:
            raise ConfigError(f"{where} is in an object store; say where the page goes on this machine: --out DIR")
        if args.reject_pictures:
            raise ConfigError(
                "--reject-pictures needs the run's folder, which knows where its source lies; leave it out"
            )
    elif args.out is None and not where.is_dir():
        if not where.exists():
            raise MissingInputError(f"{where} does not exist here; name a run, or say where the page goes: --out DIR")
        raise ConfigError(f"{where} is no folder; say where the page goes: --out DIR")
    out: Path = args.out or Path(str(where)) / VIEW
    viewed = view_run(where, out, args.n, args.side, watch, num_rejects=args.reject_pictures)
    print(viewed.summary())
    return 0


def watch(indices: Iterable[int]) -> Iterable[int]:
    return progress(indices, "sample", "view", leave=False)
