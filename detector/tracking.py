"""What a training logs, sent on to TensorBoard or Weights & Biases as well, through accelerate's trackers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shards.errors import ConfigError

TRACKERS = ("tensorboard", "wandb")
FOLDER = "tensorboard"
"""Of TensorBoard's event files, in the folder of the training."""


def check_tracker(name: str) -> None:
    """Raise ConfigError for an unknown tracker, or one whose package is not installed; "" is none."""
    if name and name not in TRACKERS:
        raise ConfigError(f"tracker {name!r}; allowed are {', '.join(TRACKERS)}")
    if name and find_spec(name) is None:
        raise ConfigError(
            f"--track {name}: the package {name} is not installed; install it with: pip install 'blemish[track]'"
        )


class Tracking:
    """One tracker of one training; use it in the first process alone.

    Args:
        name: one of TRACKERS. out: folder of the training. training: its name.
        identity: what makes the training this one; the same training goes on in the same run of Weights & Biases.
    """

    def __init__(self, name: str, out: Path, training: str, identity: Mapping[str, Any]) -> None:
        check_tracker(name)
        self.name, self.out, self.training = name, out, training
        facts = json.dumps(identity, sort_keys=True, default=str)
        self.id = hashlib.sha256(f"{out.resolve()} {facts}".encode()).hexdigest()[:16]
        self._tracker: Any = None

    def start(self, iteration: int) -> None:
        """Begin, or go on behind `iteration`; what an earlier call logged behind it is withdrawn where that can be.

        Raises ConfigError: one line.
        """
        try:
            self._begin(iteration)
        except Exception as error:  # whatever a package of others, its server or its settings lead to
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ConfigError(
                f"--track {self.name} cannot begin ({reason}); mend that, or train without --track"
            ) from error

    def _begin(self, iteration: int) -> None:
        from accelerate import PartialState
        from accelerate.tracking import TensorBoardTracker, WandBTracker

        PartialState()  # accelerate's own log wants it
        if self.name == "tensorboard":
            self._tracker = TensorBoardTracker(FOLDER, logging_dir=str(self.out), purge_step=iteration + 1)
        else:
            where = str(self.out.resolve())
            self._tracker = WandBTracker("blemish", name=self.training, id=self.id, resume="allow", dir=where)
        self._tracker.start()

    def log(self, values: Mapping[str, Any]) -> None:
        """A line of the log; what is no finite number is left out."""
        numbers = {
            name: value
            for name, value in values.items()
            if name != "iteration" and isinstance(value, (int, float)) and math.isfinite(value)
        }
        if self._tracker is not None:
            self._tracker.log(numbers, step=int(values["iteration"]))

    def finish(self) -> None:
        """Write what waits; nothing happens where it was never started."""
        if self._tracker is not None:
            self._tracker.finish()
            self._tracker = None
