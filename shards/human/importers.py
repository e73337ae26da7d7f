"""Registry of importers: `python -m shards import NAME` turns an outside labelled set into shards.

An importer is a module with `add_arguments(parser)` and `run(args) -> int`; what is slow to import it imports in `run`.
"""

from __future__ import annotations

IMPORTERS: dict[str, tuple[str, str]] = {
    "richhf": ("shards.human.richhf", "RichHF-18k: human artifact maps, with their pictures from Pick-a-Pic"),
    "pal": ("shards.human.pal", "PAL (PAL4VST): eleven synthesis tasks with human labels"),
}
"""Name -> (module, one line of help)."""
