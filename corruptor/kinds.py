"""Structural kinds of damage: a part twice, a part left out, two parts run together.

Each is another content for the region, in place of its own, which is then put under noise, injected and resampled as
ever. Taxonomy: duplicate, omit, distort, fuse.

Legend: h and w latent cells, C latent channels, f pixels a cell and side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from corruptor.inject import cells_from_mask, components_of_cells, mirror
from corruptor.kinds_config import KINDS, KindsConfig
from shards.masks import ARTIFACT, CLEAN, IGNORE, U8
from shards.seeds import named_rng

FILL_ROUNDS = 200
"""Of averaging with the neighbours; a region of 16 cells across is smooth after them."""


@dataclass(frozen=True)
class Structure:
    """What is put in place of a row's region."""

    kind: str
    """One of KINDS, or "none" for a row without a region."""
    mask: U8
    """uint8 HW: where; the row's own, but for `duplicate`."""
    sources: NDArray[np.int64]
    """int64 (2, h, w): of each cell the two (flat) whose mean it takes, itself where nothing is moved."""


def plan(mask: U8, seed: int, config: KindsConfig, factor: int) -> Structure:
    """The kind of a row, drawn by its seed, and where its content comes from.

    Args:
        mask: uint8 HW, 1 = make an artifact here.
    """
    height, width = mask.shape[0] // factor, mask.shape[1] // factor
    itself = np.arange(height * width).reshape(height, width)
    sources = np.stack([itself, itself])
    if not (mask == ARTIFACT).any():
        return Structure("none", mask, sources)
    rng = named_rng(f"kind/{seed}")
    shares = np.array([*config.shares().values()])
    kind = KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
    cells = cells_from_mask(torch.from_numpy(mask)[None], factor)[0].numpy()
    of_cell = np.where(cells, components_of_cells(mask, factor), -1)
    if kind == "duplicate":
        moved = duplicated(mask, of_cell, factor, rng)
        return moved or Structure("distort", mask, sources)
    if kind == "fuse":
        sources[1] = fused(of_cell, rng)
    return Structure(kind, mask, sources)


def duplicated(mask: U8, of_cell: NDArray[np.int64], factor: int, rng: np.random.Generator) -> Structure | None:
    """Each component moved by its own size to a free place beside it; those without one are left out, None where all
    are."""
    height, width = of_cell.shape
    itself = np.arange(height * width).reshape(height, width)
    ignored = (mask == IGNORE).reshape(height, factor, width, factor).any(axis=(1, 3))
    taken = (of_cell >= 0) | ignored
    sources, moved = np.stack([itself, itself]), np.where(mask == ARTIFACT, np.uint8(CLEAN), mask)
    labels = np.kron(of_cell, np.ones((factor, factor), np.int64))
    for number in range(int(of_cell.max()) + 1):
        ys, xs = np.nonzero(of_cell == number)
        if not len(ys):
            continue
        tall, wide = int(np.ptp(ys)) + 1, int(np.ptp(xs)) + 1
        shifts = [(a * tall, b * wide) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
        for dy, dx in (shifts[k] for k in rng.permutation(len(shifts))):
            to_y, to_x = ys + dy, xs + dx
            inside = to_y.min() >= 0 and to_y.max() < height and to_x.min() >= 0 and to_x.max() < width
            if not inside or taken[to_y, to_x].any():
                continue
            taken[to_y, to_x] = True
            sources[:, to_y, to_x] = itself[ys, xs]
            own_y, own_x = np.nonzero((labels == number) & (mask == ARTIFACT))
            moved[own_y + dy * factor, own_x + dx * factor] = ARTIFACT
            break
    return Structure("duplicate", moved, sources) if (moved == ARTIFACT).any() else None


def fused(of_cell: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """int64 hw: the cell that each is blended with: half its component's size away, mirrored at the picture's edge."""
    height, width = of_cell.shape
    partner = np.arange(height * width).reshape(height, width)
    for number in range(int(of_cell.max()) + 1):
        ys, xs = np.nonzero(of_cell == number)
        if not len(ys):
            continue
        along_y, sign = bool(rng.integers(2)), 1 if rng.integers(2) else -1
        extent = int(np.ptp(ys if along_y else xs)) + 1
        by = sign * max(1, extent // 2)
        from_y = mirror(ys + by * along_y, height)
        from_x = mirror(xs + by * (not along_y), width)
        partner[ys, xs] = from_y * width + from_x
    return partner


def content(z0_NCHW: Tensor, structures: Sequence[Structure], cells_NHW: Tensor) -> Tensor:
    """Clean latents with each row's region as its structure has it; other cells are not to be looked at."""
    made = z0_NCHW.clone()
    for row, one in enumerate(structures):
        if one.kind == "omit":
            made[row] = filled(z0_NCHW[row], cells_NHW[row])
        elif one.kind in ("duplicate", "fuse"):
            index = torch.from_numpy(one.sources).to(z0_NCHW.device)
            flat = z0_NCHW[row].flatten(1)
            made[row] = (flat[:, index[0]] + flat[:, index[1]]) / 2
    return made


def filled(z0_CHW: Tensor, cells_HW: Tensor) -> Tensor:
    """Latents with the cells filled in smoothly from those around them: each becomes the mean of its neighbours.

    Where all cells are to be filled there is nothing around them: they become the mean of all.
    """
    inside = cells_HW.to(z0_CHW.device)
    around = z0_CHW[:, ~inside] if bool((~inside).any()) else z0_CHW.flatten(1)
    made = torch.where(inside, around.mean(dim=1)[:, None, None], z0_CHW)
    for _ in range(FILL_ROUNDS):
        padded = torch.nn.functional.pad(made[None], (1, 1, 1, 1), mode="replicate")[0]
        mean = (padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]) / 4
        made = torch.where(inside, mean, made)
    return made
