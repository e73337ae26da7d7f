"""Sources and region policies of one's own: a registered name, an entry point of a package, or the place of the code.

A config names code as `FILE.py:NAME` (looked for from the working folder, then beside the config) or
`package.module:NAME`. That is for configs and command lines, which are programs of their user; what a downloaded
manifest names is never run (`is_code`).
"""

from __future__ import annotations

import hashlib
import importlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.build import nearest
from shards.errors import ConfigError
from shards.own_code import PREFIX, importable, load_file

Target = str | Callable[..., Any]
"""Import path "module:attribute", loaded when it is first asked for, or the class or function itself."""

_FOLDERS: list[Path] = []
"""Folders of the configs that were read, the last one first."""
_OWN: set[str] = set()
"""Modules that gave something that is not ours."""
OURS = ("blemish", "corruptor", "detector", "miniworld", "region_select", "shards")


@dataclass(frozen=True)
class ExtensionPoint:
    """One kind of thing that others may add."""

    noun: str
    """For messages."""
    group: str
    """Entry points of installed packages: `[project.entry-points."GROUP"]` with NAME = "module:attribute"."""
    known: Mapping[str, Target]
    """What is registered by name."""

    def names(self) -> list[str]:
        """Everything that can be named without saying where its code is."""
        return sorted({*self.known, *(point.name for point in self._entry_points())})

    def find(self, name: str) -> Callable[..., Any]:
        """The class or function of this name, loaded. Raises ConfigError (unknown, not there, or it fails)."""
        if name in self.known:
            target = self.known[name]
        elif is_code(name):
            target = name
        else:
            target = next((point.value for point in self._entry_points() if point.name == name), "")
        if not target:
            raise ConfigError(
                f"unknown {self.noun} '{name}'{nearest(name, self.names())}, or FILE.py:NAME for your own"
            )
        found = load_target(target, f"{self.noun} '{name}'") if isinstance(target, str) else target
        if not callable(found):
            raise ConfigError(f"{self.noun} '{name}': {target} is a {type(found).__name__}, not a class or function")
        module = str(getattr(found, "__module__", ""))
        if module.partition(".")[0] not in OURS:
            _OWN.add(module)
        return found

    def _entry_points(self) -> Iterator[Any]:
        from importlib import metadata

        return iter(metadata.entry_points(group=self.group))


def is_code(name: str) -> bool:
    """Whether a name says where code lies instead of naming something registered. Addresses (`hf://..`) do not."""
    return ":" in name and "://" not in name


def search_beside(config: Path) -> None:
    """Look for code of one's own beside this config, before any that was read earlier."""
    folder = config.resolve().parent
    if folder in _FOLDERS:
        _FOLDERS.remove(folder)
    _FOLDERS.insert(0, folder)


def searched() -> tuple[Path, ...]:
    """Folders in which code of one's own is looked for beside the working folder, for other processes."""
    return tuple(_FOLDERS)


def search_in(folders: Iterable[Path]) -> None:
    """Look for code where another process does (`searched`)."""
    _FOLDERS[:] = folders


def load_target(target: str, who: str = "") -> Any:
    """What "module:attribute" or "FILE.py:attribute" names. Raises ConfigError, which begins with `who`."""
    who = who or target
    where, _, attribute = target.rpartition(":")
    if not where or not attribute:
        raise ConfigError(f"{who}: {target!r} is not of the form FILE.py:NAME or package.module:NAME")
    file = find_file(where, who) if where.endswith(".py") else None
    try:
        with importable([Path.cwd(), *_FOLDERS]):  # as `python -m` would have it
            module = load_file(file) if file else importlib.import_module(where)
    except Exception as error:  # a module is a program: whatever it raises is the user's to see
        raise ConfigError(f"{who}: {where} cannot be imported: {told(error, str(file or where))}") from error
    if not hasattr(module, attribute):
        own = [name for name in vars(module) if not name.startswith("_")]
        raise ConfigError(f"{who}: {where} defines no {attribute}{nearest(attribute, own)}")
    return getattr(module, attribute)


def find_file(where: str, who: str) -> Path:
    """A file of code. Raises ConfigError."""
    for folder in (Path(), *_FOLDERS):
        if (folder / where).is_file():
            return (folder / where).resolve()
    looked = ", ".join(str(folder) for folder in (Path.cwd(), *_FOLDERS))
    raise ConfigError(f"{who}: no file {where}; looked in {looked}")


def code_digest(name: str) -> str:
    """sha256 of the file that a name points to, so that other code is another run; "" for registered names."""
    where = name.rpartition(":")[0]
    return hashlib.sha256(find_file(where, name).read_bytes()).hexdigest() if where.endswith(".py") else ""


def told(error: BaseException, file: str = "") -> str:
    """An error of the user's code in one line that is never empty, with the last line of `file` that it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text}" + (f" (line {line})" if line and f"line {line}" not in text else "")


def blamed(error: BaseException) -> str:
    """An error of a source's or policy's own code in one line with file and line; "" for one that is not of such."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if is_own(frame.f_globals.get("__name__"))]
    if not frames:
        return ""
    file = frames[-1].f_code.co_filename
    return f"{file}: {told(error, file)}"


def is_own(module: object) -> bool:
    """Whether a module is no part of this project and gave a source or a policy."""
    return isinstance(module, str) and (module in _OWN or module.startswith(PREFIX))
