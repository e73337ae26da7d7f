"""The ladder: regions that did not break are injected again, more strongly, until they do or the floor is reached.

From one inversion the stored trajectory gives z_t at every start step. All rows are injected at the weakest strength
and verified; components that do not pass go on to the next strength with fresh noise, beside those that passed, which
are injected at their own step with their own noise again. The whole picture is resampled and verified at each try, so
that what is labelled is what the picture holds. The weakest damage that passes is kept; what never passes goes by
`verification.policy`, as it would without a ladder.

Legend: N rows, h and w latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from corruptor.config import CorruptionConfig
from corruptor.finish import NOBODY, Climbed, CorruptedBatch, Judges, Nfe, finish_rows
from corruptor.inject import components_of_cells
from corruptor.kinds_config import KindsConfig
from corruptor.ladder_config import LadderConfig
from corruptor.noise import try_seed
from corruptor.rows import InvertedBatch, Rows, Tries, resample_rows, with_kinds
from corruptor.verify import Verification

if TYPE_CHECKING:
    from corruptor.backbone import Backbone


@dataclass
class _Row:
    """The best of a row's tries so far, and what the next one is made of."""

    image: Tensor
    label: Tensor
    cells: Tensor
    verification: Verification
    component_of_cell: NDArray[np.int64]
    tries: tuple[int, ...]
    """Of each component."""
    requested: Tensor
    kind: str
    prompt: str | None
    num_tries: int = 0
    nfe: int = 0

    def passed(self) -> int:
        return sum(_passes(self.verification))

    def failed(self) -> list[int]:
        """Components that did not pass and have cells of their own, which another try could change."""
        owners = set(self.component_of_cell[self.cells.numpy()].tolist())
        return [number for number, good in enumerate(_passes(self.verification)) if not good and number in owners]

    def of_cell(self, retried: Sequence[int], number: int) -> Tensor:
        """int64 hw as `Tries` has it, were the components `retried` to have the noise of try `number`."""
        tries = [number if place in retried else one for place, one in enumerate(self.tries)]
        table = np.array([*tries, 0], np.int64)  # the last serves cells that no component has pixels in: there are none
        found = np.where(self.cells.numpy(), table[self.component_of_cell], -1)
        return torch.from_numpy(found)


def climb(
    backbone: Backbone,
    inverted: InvertedBatch,
    rows: Rows,
    config: CorruptionConfig,
    ladder: LadderConfig,
    judges: Judges = NOBODY,
) -> CorruptedBatch:
    """Steps 3 to 5 on sources inverted to the ladder's floor. A row's outcome does not depend on the other rows.

    Raises ValueError as `finish_rows` does.
    """
    steps = ladder.steps(config.start_step)
    first = _attempt(backbone, inverted, rows, config, None, judges)
    best = _first_rows(first, rows, backbone.factor)
    left = [place for place, row in enumerate(best) if _goes_on(row, ladder)]
    for number in range(1, len(steps)):
        if not left:
            break
        retried = [best[place].failed() for place in left]
        cells = [best[place].of_cell(some, number) for place, some in zip(left, retried, strict=True)]
        tries = Tries(torch.stack(cells), steps[: number + 1])
        done = _attempt(backbone, inverted, rows.chosen(left), config, tries, judges)
        for at, place in enumerate(left):
            _take(best[place], done, at, retried[at], number)
        left = [place for place in left if _goes_on(best[place], ladder)]
    for number, (kind, step) in enumerate(ladder.last_tries(), start=len(steps)):
        _last_try(backbone, inverted, rows, at_step(config, step), best, kind, number, judges)
    return _assemble(first, best, ladder.all_steps(config.start_step), bool(first.kinds or ladder.last))


def _last_try(
    backbone: Backbone,
    inverted: InvertedBatch,
    rows: Rows,
    config: CorruptionConfig,
    best: Sequence[_Row],
    kind: str,
    number: int,
    judges: Judges,
) -> None:
    """Rows of which nothing has passed, once more as a structural kind, at the config's start step."""
    left = [place for place, row in enumerate(best) if row.tries and not row.passed()]
    if not left:
        return
    some = rows.chosen(left)
    some = replace(some, seeds=tuple(try_seed(seed, number) for seed in some.seeds))
    some = with_kinds(some, KindsConfig.only(kind), backbone.factor)
    done = _attempt(backbone, inverted, some, config, None, judges)
    for at, place in enumerate(left):
        row = best[place]
        before = row.passed()
        _take(row, done, at, (), number)
        if row.passed() > before:
            row.tries = (number,) * done.verifications[at].num_components
            row.cells, row.requested = done.cells_NHW[at], done.requested_masks_NHW[at]
            row.kind, row.prompt = done.kinds[at], done.prompts[at]


def at_step(config: CorruptionConfig, step: int) -> CorruptionConfig:
    """The config with another start step and no ladder or kinds, of rows for which those have been planned."""
    return replace(config, injection=replace(config.injection, start_step=step, kinds=None), ladder=None)


def _attempt(
    backbone: Backbone,
    inverted: InvertedBatch,
    rows: Rows,
    config: CorruptionConfig,
    tries: Tries | None,
    judges: Judges,
) -> CorruptedBatch:
    resampled = resample_rows(backbone, inverted, rows, config, tries)
    return finish_rows(resampled, inverted, rows, config, backbone.factor, judges)


def _first_rows(done: CorruptedBatch, rows: Rows, factor: int) -> list[_Row]:
    each = done.resampling_nfe[0]
    return [
        _Row(
            image=done.images_NHWC[place],
            label=done.masks_NHW[place],
            cells=done.cells_NHW[place],
            verification=numbers,
            component_of_cell=components_of_cells(rows.masks_NHW[place].cpu().numpy(), factor),
            tries=(0,) * numbers.num_components,
            requested=rows.masks_NHW[place].cpu(),
            kind=_kind(done, place, numbers.num_components),
            prompt=done.prompts[place] if done.prompts else None,
            num_tries=1,
            nfe=each,
        )
        for place, numbers in enumerate(done.verifications)
    ]


def _kind(done: CorruptedBatch, place: int, num_components: int) -> str:
    """Of a row: what it says of itself, else the method's own."""
    return done.kinds[place] if done.kinds else "distort" if num_components else "none"


def _take(row: _Row, done: CorruptedBatch, at: int, retried: Sequence[int], number: int) -> None:
    """Count a try, and keep it where more components pass than in the best one before it."""
    row.num_tries += 1
    row.nfe += done.resampling_nfe[at]
    if sum(_passes(done.verifications[at])) <= row.passed():
        return
    row.image, row.label, row.verification = done.images_NHWC[at], done.masks_NHW[at], done.verifications[at]
    row.tries = tuple(number if place in retried else one for place, one in enumerate(row.tries))


def _goes_on(row: _Row, ladder: LadderConfig) -> bool:
    return bool(row.failed()) and (ladder.until == "every" or not row.passed())


def _passes(numbers: Verification) -> list[bool]:
    """Of each component, whether verification passed it and left something of it."""
    return [one.passed and one.num_pixels_kept > 0 for one in numbers.components]


def _assemble(first: CorruptedBatch, best: Sequence[_Row], steps: Sequence[int], named: bool) -> CorruptedBatch:
    own = [tuple(steps[number] for number in row.tries) for row in best]
    return replace(
        first,
        images_NHWC=torch.stack([row.image for row in best]),
        masks_NHW=torch.stack([row.label for row in best]),
        verifications=tuple(row.verification for row in best),
        nfe=Nfe(first.nfe.inversion, sum(row.nfe for row in best)),
        resampling_nfe=tuple(row.nfe for row in best),
        start_steps=tuple(min(one, default=steps[0]) for one in own),
        requested_masks_NHW=torch.stack([row.requested for row in best]),
        cells_NHW=torch.stack([row.cells for row in best]),
        kinds=tuple(row.kind for row in best) if named else (),
        prompts=tuple(row.prompt for row in best) if named else (),
        climbed=tuple(Climbed(one, row.tries, row.num_tries) for one, row in zip(own, best, strict=True)),
    )
