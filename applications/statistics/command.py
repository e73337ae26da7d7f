"""The verb `report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.errors import ConfigError

HELP = "how much artifact, where and in what: of labelled runs and of predictions, as one HTML file"
EXAMPLE = """examples:
  blemish report miniworld/sets/v1/validation out/seen --out out/report
  blemish report out/seen_photos --real --out out/photos
  blemish report out/seen --classes out/ade --class-names ade.csv --out out/report
"""


def add_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    verb = verbs.add_parser(
        "report", help=HELP, description=HELP, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verb.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="labelled shards, or a folder of `detect predict`"
    )
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for report.html and report.json")
    verb.add_argument("--by", default="set", metavar="WHAT", help="groups of samples: set, label or method")
    verb.add_argument(
        "--categories", type=Path, metavar="CSV", help="key, category (default of pictures: their folder)"
    )
    verb.add_argument("--real", action="store_true", help="predictions are of photographs: what they mark is wrong")
    verb.add_argument("--classes", type=Path, metavar="DIR", help="class maps KEY.png of a semantic segmentation")
    verb.add_argument("--class-names", type=Path, metavar="CSV", help="id, name, kind (object or stuff)")
    verb.set_defaults(run=run_report)


def run_report(args: argparse.Namespace) -> int:
    """Imports wait until the arguments are known to be right, so that --help is quick."""
    if (args.classes is None) != (args.class_names is None):
        raise ConfigError("--classes and --class-names belong together; give both")
    from applications.statistics.items import ALL, items_of, read_classes
    from applications.statistics.page import as_json, page
    from applications.statistics.tally import Tally, tally
    from shards.files import make_folder, write_bytes, write_json
    from shards.guard.names import distinct_names
    from shards.progress import progress

    classes = read_classes(args.classes, args.class_names) if args.classes else None
    runs: dict[str, Tally] = {}
    # The page may be published: a run is named by the last part of its path.
    for where, name in zip(args.runs, distinct_names(run.name for run in args.runs), strict=True):
        items = items_of(where, args.by, args.categories, classes, args.real)
        runs[name] = tally(progress(items, "picture", where.name))
    make_folder(args.out)
    write_json(args.out / "report.json", as_json(runs))
    write_bytes(args.out / "report.html", page("Artifact statistics", runs).encode("utf-8", "backslashreplace"))
    for name, one in runs.items():
        whole = one.groups[ALL]
        mean = whole.par / whole.pictures
        print(f"{name}: {whole.pictures} pictures, {whole.marked} with artifact, mean PAR {mean:.2%}")
    print(f"look at {args.out / 'report.html'}")
    return 0
