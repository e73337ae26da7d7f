"""Configs: mmengine pure-Python files (inherited with `read_base`) into frozen dataclasses, checked field by field.

mmengine takes a mistyped key silently; here it is an error that names the nearest valid one.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from shards.build import BuildError, build, check_free, plain, shown
from shards.errors import ConfigError, MissingInputError
from shards.extensions import search_beside, told

T = TypeVar("T")

SHOWN = 120
"""Characters of an override or value that an error repeats."""

INSTALLED = Path(__file__).resolve().parent.parent
"""Folder that holds the packages, `configs` among them: the checkout or site-packages."""


def find_config(path: str | Path) -> Path:
    """The file itself, or the same path beside the installed packages (so that a wheel's configs are found).

    Raises MissingInputError listing the configs there are.
    """
    for candidate in (Path(path), INSTALLED / path):
        if candidate.is_file():
            return candidate
    folder = INSTALLED / Path(path).parent
    near = sorted(entry.name for entry in folder.glob("*.py") if not entry.name.startswith("_"))
    known = f"{Path(path).parent}: {', '.join(near)}" if near else "configs/ beside the installed packages"
    raise MissingInputError(f"config {path} does not exist; known in {known}")


def read_config(path: str | Path) -> dict[str, Any]:
    """Run an mmengine config file and return its top-level values as plain dicts, lists and scalars.

    Raises MissingInputError or ConfigError.
    """
    values: Any = run_config(path).to_dict()
    lost = [name for name in assigned(find_config(path)) if name not in values]
    if lost:
        raise ConfigError(
            f"config {path}: {lost[0]} is a function or a module, which is no value of a config: give a number, text, "
            f"True, False, None, list or dict (and write a helper of the file's own with def)"
        )
    return checked({str(key): value for key, value in values.items()}, f"config {path}")


def run_config(path: str | Path) -> Any:
    """Run a config file; returns mmengine's Config.

    A config anywhere inherits from ours by name and from its own neighbours by dots:

        with read_base():
            from configs.shards.miniworld import *
            from .mine import *

    Raises MissingInputError or ConfigError.
    """
    from mmengine.config import Config

    found = find_config(path)
    if found.suffix != ".py":
        raise ConfigError(f"config {path} is not a .py file; configs are mmengine Python files")
    search_beside(found)
    try:
        with own_configs_first():
            return Config.fromfile(str(found))
    except Exception as error:  # a config is a program: whatever it raises is the user's to see
        hint = ""
        if isinstance(error, RuntimeError) and not str(error):  # mmengine's stand-in for what a config imports
            hint = "; what a config imports cannot be called in it: name code of your own as FILE.py:NAME"
        raise ConfigError(f"config {path}: {told(error, str(found))}{hint}") from error


@contextmanager
def own_configs_first() -> Iterator[None]:
    """Let `configs` in `read_base` be ours: mmengine finds bases in regular packages only."""
    from mmengine.config import config as module

    original = module.get_installed_path

    def find(package: str) -> str:
        return str(INSTALLED / package) if package == "configs" else str(original(package))

    module.get_installed_path = find
    try:
        yield
    finally:
        module.get_installed_path = original


def checked(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Plain values of their own. Raises ConfigError naming one that JSON cannot hold."""
    try:
        check_free(values, "")
    except BuildError as error:
        raise ConfigError(f"{what}: {error}") from error
    result: dict[str, Any] = copy.deepcopy(plain(values))
    return result


def assigned(path: Path) -> Iterator[str]:
    """Names that a config file and its bases assign at their top level, in no order.

    mmengine drops a value that is a function without a word. A function that is defined with `def`, and a module that
    is imported, are for use within the file.
    """
    names, bases = own_names(path)
    yield from names
    for base in bases:
        yield from assigned(base)


def assigner(path: Path, name: str) -> Path | None:
    """The file among a config and its bases that has the last word on a value; None where none assigns it."""
    names, bases = own_names(path)
    if name in names:
        return path
    return next(filter(None, (assigner(base, name) for base in reversed(bases))), None)


def own_names(path: Path) -> tuple[list[str], list[Path]]:
    """Names that a config file assigns itself, and its bases that are there."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    deleted = {one.id for node in body if isinstance(node, ast.Delete) for one in names_in(node.targets)}
    names: list[str] = []
    bases: list[Path] = []
    for node in body:
        if isinstance(node, ast.With):
            bases += [base_path(path, inner) for inner in node.body if isinstance(inner, ast.ImportFrom)]
        elif isinstance(node, ast.Assign) or (isinstance(node, ast.AnnAssign) and node.value is not None):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [one.id for one in names_in(targets) if one.id not in deleted and not one.id.startswith("__")]
    return names, [base for base in bases if base.is_file()]


def names_in(targets: Iterable[ast.expr]) -> Iterator[ast.Name]:
    return (one for one in targets if isinstance(one, ast.Name))


def base_path(path: Path, node: ast.ImportFrom) -> Path:
    """The file that `from .base import *` within `with read_base():` of a config names."""
    folder = path.parents[node.level - 1] if 0 < node.level <= len(path.parents) else INSTALLED
    return folder.joinpath(*(node.module or "").split(".")).with_suffix(".py")


def parse_override(text: str) -> tuple[list[str], Any]:
    """ "a.b=v" -> (["a", "b"], v). v is a Python literal; a bare word is a string. Nothing is evaluated.

    Raises ConfigError for what has no name, for a literal that cannot be read, and for what JSON cannot hold.
    """
    name, sign, value = text.partition("=")
    path = [part.strip() for part in name.split(".")]
    if not sign or not all(path):
        raise ConfigError(
            f"override {shown(text, SHOWN)} is not of the form NAME=VALUE, such as corruption.injection.start_step=35"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes that escape nothing
            found = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        found = value
    except (TypeError, RecursionError, MemoryError) as error:  # {[]: 1}, or thousands of brackets or signs
        raise ConfigError(
            f"override {shown(text, SHOWN)}: the value cannot be read ({type(error).__name__}); "
            f"give a number, text, True, False, None, list or dict"
        ) from error
    return path, checked({path[-1]: found}, f"override {shown(text, SHOWN)}")[path[-1]]


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a copy of `values` with each "a.b=v" set; whether the names exist is for `build` to say.

    Raises ConfigError for an override that cannot be set, and for values that JSON cannot hold.
    """
    result = checked(values, "config")
    for text in overrides:
        path, value = parse_override(text)
        place = result
        for part in path[:-1]:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ConfigError(
                    f"override {shown(text, SHOWN)}: {part[:60]} is the value {shown(inner)}, not a group of values"
                )
            place = inner
        place[path[-1]] = value
    return result


def load_config(path: str | Path, cls: type[T], overrides: Iterable[str] = ()) -> T:
    """Read the config file `path`, apply "a.b=v" overrides and build the dataclass `cls`.

    Raises:
        MissingInputError: no such file.
        ConfigError: the file fails, an unknown key (naming the nearest), a wrong type, or a failed check.
    """
    return make_config(apply_overrides(read_config(path), overrides), cls, str(path))


def make_config(values: Mapping[str, Any], cls: type[T], name: str = "config") -> T:
    """Build the dataclass `cls` from plain values. Raises ConfigError."""
    try:
        return build(cls, values)
    except BuildError as error:
        raise ConfigError(f"{name}: {error}") from error


def config_hash(config: Any) -> str:
    """16 hex digits over the values of a dataclass or dict; the same on every Python version and machine."""
    text = json.dumps(plain(config), sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Lines "a.b: 1 there, 2 now" for every value in which two plain trees differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines: list[str] = []
        for key in sorted(set(old) | set(new)):
            inner = f"{path}.{key}" if path else str(key)
            lines += differences(old.get(key, "nothing"), new.get(key, "nothing"), inner)
        return lines
    return [] if old == new else [f"{path}: {shown(old, SHOWN)} there, {shown(new, SHOWN)} now"]
