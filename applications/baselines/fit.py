"""A network whose sizes are told by the shapes of its tensors, filled with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from detector.errors import CheckpointError
from detector.tensors import Tensors

MOST_BLOCKS = 64
"""Of one stage; a name in a file could tell of any number."""
BATCHES = "num_batches_tracked"
"""A count of batch normalisation that only training reads; old files have none."""


def fit(build: Callable[[], Any], tensors: Tensors, path: Path, what: str) -> Any:
    """The network that `build` makes, holding these tensors; others of the file are left alone.

    It is laid out without memory first: a network larger than its file would be one that the file does not fill.

    Raises CheckpointError naming what does not fit, or for values that are no finite numbers.
    """
    try:
        with torch.device("meta"):
            model = build()
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:  # sizes that make no network
        raise CheckpointError(f"{path} is no {what}: {' '.join(str(error).split())[:200]}") from error
    given = {}
    wrong = []
    for name, wanted in model.state_dict().items():
        found = tensors.get(name)
        if found is None and name.endswith(BATCHES):
            found = torch.zeros((), dtype=torch.int64)
        if found is None or found.shape != wanted.shape:
            wrong.append(f"{name} is missing" if found is None else f"{name} is {tuple(found.shape)}")
        else:
            given[name] = found
    if wrong:
        raise CheckpointError(f"{path} is no {what}: {wrong[0]} ({len(wrong)} do not fit)")
    strange = next((name for name, t in given.items() if t.is_floating_point() and not t.isfinite().all()), None)
    if strange is not None:
        raise CheckpointError(f"{path}: {strange} holds values that are no finite numbers; fetch or make it again")
    model.load_state_dict(given, assign=True)
    return model.eval().requires_grad_(False)


def count_blocks(names: Iterable[str], pattern: str) -> int:
    """One more than the largest number that `pattern`'s only group finds; 0 where it finds none.

    Raises ValueError for more than MOST_BLOCKS.
    """
    found = {match[1] for match in map(re.compile(pattern).match, names) if match}
    if any(len(number) > 3 or int(number) >= MOST_BLOCKS for number in found):
        raise ValueError(f"a stage of more than {MOST_BLOCKS} blocks")
    return max((int(number) + 1 for number in found), default=0)


def side(tensors: Tensors, name: str, axis: int = 0) -> int:
    """A length of a tensor. Raises ValueError where there is none."""
    shape = tensors[name].shape if name in tensors else ()
    if len(shape) <= axis or not shape[axis]:
        raise ValueError(f"{name} is {'missing' if name not in tensors else tuple(shape)}")
    return int(shape[axis])
