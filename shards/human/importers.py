"""Registry of importers: `python -m shards import NAME` turns an outside labelled set into shards.

An importer is a module with `add_arguments(parser)` and `run(args) -> int`; what is slow to import it imports in `run`.
"""

from __future__ import annotations

import importlib
from typing import Any

IMPORTERS: dict[str, tuple[str, str]] = {
    "richhf": ("shards.human.richhf", "RichHF-18k: human artifact maps, with their pictures from Pick-a-Pic"),
    "pal": ("shards.human.pal", "PAL (PAL4VST): eleven synthesis tasks with human labels"),
}
"""Name -> (module, one line of help)."""


def add_importers(verbs: Any) -> None:
    """Add the verb `import` with one sub-verb for each registered importer."""
    outer = verbs.add_parser("import", help="turn an outside set into shards")
    names = outer.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, (module, text) in IMPORTERS.items():
        loaded = importlib.import_module(module)
        inner = names.add_parser(name, help=text, description=loaded.__doc__)
        loaded.add_arguments(inner)
        inner.set_defaults(run=loaded.run)
