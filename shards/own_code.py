"""Files of the user's own code as modules: `shards.own_code.NAME__SHA256__PATH`, the path in hex.

The name says where the file is and what it held, so that a process that is given an object of such a module (a source,
pickled into a spawned worker) imports the same code, and no other.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

__path__: list[str] = []
"""Makes this a package to the import system; what is in it, the finder below says."""
PREFIX = f"{__name__}."
NAME = re.compile(re.escape(PREFIX) + r"\w+?__([0-9a-f]{16})__((?:[0-9a-f]{2})+)")


def load_file(file: Path) -> ModuleType:
    """Run a file as a module, once for each content it has had. Raises whatever the file raises."""
    stem = re.sub(r"\W", "_", file.stem, flags=re.ASCII)
    return importlib.import_module(f"{PREFIX}{stem}__{digest_of(file.read_bytes())}__{bytes(file).hex()}")


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


class OwnCode(MetaPathFinder):
    """Finds such modules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        found = NAME.fullmatch(name)
        if found is None:
            return None
        file = os.fsdecode(bytes.fromhex(found[2]))
        return spec_from_file_location(name, file, loader=OwnLoader(name, file))


class OwnLoader(SourceFileLoader):
    """Runs a file as it is, if it is what the name says: bytecode beside it goes by its time, which may mislead."""

    def get_code(self, fullname: str) -> CodeType:
        """Raises ImportError, SyntaxError."""
        found, path = NAME.fullmatch(fullname), os.fsdecode(self.path)
        try:
            data = self.get_data(path)
        except OSError as error:
            raise ImportError(f"{path} cannot be read ({error.strerror})") from error
        if found is None or digest_of(data) != found[1]:
            raise ImportError(f"{path} has changed since it was named; begin again")
        return self.source_to_code(data, path)

    def exec_module(self, module: ModuleType) -> None:
        with importable([Path(os.fsdecode(self.path)).parent]):
            super().exec_module(module)


@contextmanager
def importable(folders: Sequence[Path]) -> Iterator[None]:
    """Modules in these folders can be imported meanwhile."""
    added = [str(folder) for folder in folders if str(folder) not in sys.path]
    sys.path.extend(added)
    try:
        yield
    finally:
        for folder in added:
            if folder in sys.path:
                sys.path.remove(folder)


sys.meta_path.append(OwnCode())
