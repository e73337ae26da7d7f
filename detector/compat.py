"""What it takes to run mmsegmentation 1.2.2, which is no longer maintained, on today's libraries. All of it is here.

1. `mmseg.models` imports `mmcv.ops`, which wants the compiled module `mmcv._ext`. mmcv-lite has none, and full mmcv
   means compiling C++. UPerNet with Swin or ConvNeXt calls none of these operations, so a placeholder stands in while
   mmseg is imported; an operation that is really called raises `MissingOpError`. The placeholder is removed afterwards,
   because mmengine and mmcv later look for `mmcv._ext` to learn whether operations exist.
2. torch loads checkpoints with `weights_only=True`. What mmengine puts into one besides tensors (histories of losses,
   numpy scalars) is plain data, and is allowed by name. A history also names its own four statistics through
   `getattr`, which is replaced by a function that gives those four and nothing else. The check itself stays on.
3. Importing mmengine's optimisers reaches transformers, which remarks on image processors that nothing here uses.

tests/detector/test_compat.py fails for each of these that is no longer needed.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

EXTENSION = "mmcv._ext"


class MissingOpError(RuntimeError):
    """A compiled operation of mmcv was called, and mmcv-lite has none."""


class Placeholder(types.ModuleType):
    """Stands in for `mmcv._ext`: every name is an operation that raises when it is called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> Any:
            raise MissingOpError(
                f"the compiled operation {name!r} of mmcv was called, and mmcv-lite has none; choose a model without "
                "it (UPerNet with Swin or ConvNeXt needs none) or install full mmcv"
            )

        return missing


@contextmanager
def placeholder() -> Iterator[None]:
    """`mmcv._ext` can be imported inside this block; a real one is left alone."""
    if importlib.util.find_spec("mmcv") is not None and importlib.util.find_spec(EXTENSION) is not None:
        yield
        return
    sys.modules[EXTENSION] = Placeholder(EXTENSION)
    try:
        yield
    finally:
        del sys.modules[EXTENSION]


@contextmanager
def quiet() -> Iterator[None]:
    """Without mmseg's remarks on stdout and as warnings: on weights that `initialise` brings, on names it gave up."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def statistic(owner: Any, name: str) -> Any:
    """What `getattr` means inside a checkpoint: HistoryBuffer's own statistics. Raises UnpicklingError otherwise."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is HistoryBuffer and name in ("min", "max", "mean", "current"):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f"the checkpoint asks for {name!r} of {owner!r}, which no checkpoint needs")


def safe_classes() -> list[Any]:
    """What a checkpoint of mmengine holds besides tensors and plain values, under numpy's new name and its old one."""
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer
    from numpy._core.multiarray import _reconstruct, scalar

    kinds = [type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64", "bool", "object")]
    named = [(_reconstruct, "numpy.core.multiarray._reconstruct"), (scalar, "numpy.core.multiarray.scalar")]
    return [HistoryBuffer, _reconstruct, scalar, np.ndarray, np.dtype, *kinds, *named, (statistic, "builtins.getattr")]


@cache
def load_mmseg() -> None:
    """Make mmseg importable and its models registered. Call before anything of mmseg is imported; again is free."""
    import torch

    logging.getLogger("transformers").setLevel(logging.ERROR)
    with placeholder(), quiet():
        importlib.import_module("mmseg.models")
        importlib.import_module("mmseg.datasets.transforms")
    torch.serialization.add_safe_globals(safe_classes())
