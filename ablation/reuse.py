"""Finished stages of other grids' folders, taken over: a stage's name is the hash of all that decides it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ablation.plan import Plan
from ablation.run import STAGES
from ablation.stages import Stage, is_done
from ablation.work import finished
from shards.errors import ConfigError, MissingInputError, OutputError

TAKEN = ".taken"
"""Ending of a stage's folder that is not whole yet."""


def find_folders(given: Sequence[Path], out: Path) -> list[Path]:
    """Their folders of stages.

    Raises MissingInputError: a folder is not there or none of `blemish ablate`. ConfigError: it is OUT.
    """
    found = []
    for folder in given:
        if not (folder / STAGES).is_dir():
            raise MissingInputError(f"--reuse {folder}: no output folder of `blemish ablate` ({STAGES}/ is missing)")
        if out.is_dir() and folder.samefile(out):
            raise ConfigError(f"--reuse {folder} is --out itself; name the folders of other grids")
        found.append(folder / STAGES)
    return found


def reusable(plan: Plan, stages: Path, others: Sequence[Path]) -> dict[str, Path]:
    """Stage -> its folder elsewhere, for all that are finished there and not here; of several the first."""
    found = {}
    for stage in plan.stages.values():
        if not finished(plan, stages, stage):
            where = next((other / stage.name for other in others if better(plan, stages, other, stage)), None)
            if where is not None:
                found[stage.name] = where
    return found


def better(plan: Plan, stages: Path, other: Path, stage: Stage) -> bool:
    """Whether the other folder has more of it: all, or a training that is yet to be tested where none is here."""
    return finished(plan, other, stage) or (is_done(other, stage.name) and not is_done(stages, stage.name))


def take(plan: Plan, stages: Path, others: Sequence[Path]) -> int:
    """Take over what is finished in `others`; returns how many stages. A folder appears when it is whole.

    Files are hard links where the file system has them and copies elsewhere, so either folder may be deleted.

    Raises OutputError.
    """
    found = reusable(plan, stages, others)
    for name, where in found.items():
        here, partial = stages / name, stages / f"{name}{TAKEN}"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(where, partial, copy_function=link_or_copy)
            shutil.rmtree(here, ignore_errors=True)
            partial.rename(here)
        except (OSError, shutil.Error) as error:
            raise OutputError(f"{where} cannot be taken over into {stages}: {error}") from error
    return len(found)


def link_or_copy(source: str, target: str) -> str:
    """As shutil.copy2, by a hard link where possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
