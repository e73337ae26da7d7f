"""The tiny model of the tests of the public package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

TINY = Path(__file__).resolve().parents[1] / "corruptor" / "tiny_models.py"


def tiny_models() -> ModuleType:
    """The tiny models of the corruptor's tests, which are no package."""
    spec = importlib.util.spec_from_file_location("front_tiny_models", TINY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_front_model(folder: Path) -> Path:
    """A pipeline folder of real classes, f = 4, sides multiples of 8."""
    made: Path = tiny_models().make_sd(folder)
    return made
