"""`blemish publish RUN OWNER/NAME`: the run's shards, card and metadata as a dataset of the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_publish(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a command line."""
    publish = verbs.add_parser(
        "publish",
        help="upload a finished run to the Hugging Face hub as a dataset; the same command again resumes",
        epilog="blemish publish out/miniworld me/artifacts --dry-run",
    )
    publish.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a finished run")
    publish.add_argument("name", metavar="OWNER/NAME", help="the dataset; made where it is not there")
    publish.add_argument("--dry-run", action="store_true", help="list files and bytes; nothing is sent")
    publish.add_argument(
        "--public", action="store_true", help="a new dataset can be seen by all (default: by its owner alone)"
    )
    publish.set_defaults(run=run_publish)


def run_publish(args: argparse.Namespace) -> int:
    """List what goes, and send it unless it is a dry run. Raises UserErrors."""
    from shards.publish.hub import Hub, upload
    from shards.publish.plan import check_name, plan_of

    check_name(args.name)
    plan = plan_of(args.run_folder, args.name)
    if args.dry_run:
        for file in plan.files:
            print(f"{file.size:>15,}  {file.name}")
        print(f"{plan.size:>15,}  bytes in {len(plan.files)} files for datasets/{args.name}; nothing was sent")
    for line in plan.warnings:
        print(f"note: {line}")
    if not args.dry_run:
        print(upload(plan, Hub(args.name, private=not args.public)))
    return 0
