"""The scores of mask-based semantic rejection and of its neighbours, all from one forward pass.

Legend: B pictures, Q queries, K classes without "no object", h w the masks' own resolution, H W that of the picture.
A query q has a mask M_q in 0..1 and a distribution P_q over the K classes and "no object". The softmax knows "no
object", the maximum does not (Yin 2026, equation 5). A high score is an artifact.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from detector.rejection.names import CLASS_SCORES, SCORES

ACTIVE = 0.5
"""A query is active at a pixel where its mask is at least this."""
CHUNK_VALUES = 1 << 24
"""Values of masks that are held together at a picture's resolution, 64 MiB as 32-bit floats."""


@dataclass(frozen=True)
class Queries:
    """What a network says of a batch."""

    masks: torch.Tensor
    """float BQhw, logits."""
    classes: torch.Tensor
    """float BQ(K+1), logits; the last is "no object"."""


def rejection(
    found: Queries,
    size: tuple[int, int],
    names: Collection[str] = SCORES,
    valid: Sequence[int] | None = None,
    chunk_values: int = CHUNK_VALUES,
) -> dict[str, torch.Tensor]:
    """float BHW for each name, differentiable.

    msr             1 - max_q M_q max_c P_q(c)
    msr_unweighted  1 - max over the queries active at the pixel of max_c P_q(c); 1 where none is active. The paper
                    names this variant and does not define it
    max_prob        1 - max_c p(c), p normalised over the valid classes
    entropy         H(p) / log K of the same p; 0 for a single class
    pixel           1 - max_c softmax(p)(c): the network as one that classifies each pixel
    rba             -sum_c tanh p(c), p not normalised (Nayal et al., ICCV 2023): in -K..0

    Where every query says "no object" there is no p to normalise: all classes count alike.

    Args:
        size: H, W. valid: positions of the classes that count, all by default. chunk_values: most values of masks held
            together at H W, of as many queries as that is. Masks are brought to H W before anything is decided of them.
    """
    probabilities = found.classes.softmax(-1)[..., :-1]
    if valid is not None:
        probabilities = probabilities[..., list(valid)]
    confidence = probabilities.amax(-1)
    batch, queries, _ = probabilities.shape
    step = max(1, chunk_values // max(1, batch * size[0] * size[1]))
    best: dict[str, torch.Tensor] = {}
    summed: torch.Tensor | None = None
    for first in range(0, queries, step):
        part = slice(first, first + step)
        masks = functional.interpolate(found.masks[:, part], size, mode="bilinear", align_corners=False).sigmoid()
        sure = confidence[:, part, None, None]
        if "msr" in names:
            best["msr"] = larger(best.get("msr"), (masks * sure).amax(1))
        if "msr_unweighted" in names:
            active = torch.where(masks >= ACTIVE, sure, torch.zeros_like(sure))
            best["msr_unweighted"] = larger(best.get("msr_unweighted"), active.amax(1))
        if not summed_needed(names):
            continue
        if summed is None:
            summed = masks.new_zeros(batch, probabilities.shape[2], size[0] * size[1])
        summed.baddbmm_(probabilities[:, part].mT, masks.flatten(2))
    scores = {name: 1 - value for name, value in best.items()}
    if summed is not None:
        scores.update(of_classes(summed.unflatten(2, size), names, chunk_values))
    return {name: scores[name] for name in SCORES if name in names}


def opened(score: torch.Tensor, radius: int) -> torch.Tensor:
    """float BHW -> the grey opening with a square of 2 radius + 1 pixels: what is thinner than that goes. 0 changes
    nothing.

    No query is sure of the outlines of things, so they are rejected, as a line. Jung et al. 2021 (Standardized Max
    Logits) suppress boundaries too, by values around them.
    """
    if radius == 0:
        return score
    side = 2 * radius + 1
    low = -functional.max_pool2d(-score[:, None], side, 1, radius)
    return functional.max_pool2d(low, side, 1, radius)[:, 0]


def summed_needed(names: Collection[str]) -> bool:
    return any(name in CLASS_SCORES for name in names)


def larger(before: torch.Tensor | None, now: torch.Tensor) -> torch.Tensor:
    return now if before is None else torch.maximum(before, now)


def of_classes(
    summed: torch.Tensor, names: Collection[str], chunk_values: int = CHUNK_VALUES
) -> dict[str, torch.Tensor]:
    """float BHW for each name of CLASS_SCORES in `names`; `summed` is p, float BKHW, 0 or more.

    Bands of rows are treated one after the other, so that nothing of the size of `summed` is made beside it.
    """
    batch, number, height, width = summed.shape
    rows = max(1, chunk_values // max(1, batch * number * width))
    bands = [of_band(summed[:, :, top : top + rows], names) for top in range(0, height, rows)]
    return {name: torch.cat([band[name] for band in bands], 1) for name in bands[0]}


def of_band(summed: torch.Tensor, names: Collection[str]) -> dict[str, torch.Tensor]:
    """As `of_classes`, of some rows."""
    number = summed.shape[1]
    made = {}
    if "max_prob" in names or "entropy" in names:
        total = summed.sum(1, keepdim=True)
        none = total <= torch.finfo(summed.dtype).tiny
        share = torch.where(none, torch.full_like(total, 1 / number), summed / total.masked_fill(none, 1))
        made["max_prob"] = 1 - share.amax(1)
        made["entropy"] = entropy(share)
    if "pixel" in names:
        made["pixel"] = 1 - summed.softmax(1).amax(1)
    if "rba" in names:
        made["rba"] = -summed.tanh().sum(1)
    return {name: value for name, value in made.items() if name in names}


def entropy(share: torch.Tensor) -> torch.Tensor:
    """float BHW in 0..1 of distributions BKHW: H / log K; 0 for a single class."""
    number = share.shape[1]
    if number == 1:
        return torch.zeros_like(share[:, 0])
    found = -torch.special.xlogy(share, share).sum(1)
    return (found / torch.log(torch.tensor(float(number), dtype=share.dtype, device=share.device))).clamp(0, 1)


def of_pixels(logits: torch.Tensor, name: str, valid: Sequence[int] | None = None) -> torch.Tensor:
    """float BHW: the score of a network that classifies each pixel, logits BKHW; `name` is one of PIXEL_SCORES."""
    kept = logits if valid is None else logits[:, list(valid)]
    share = kept.softmax(1)
    return entropy(share) if name == "entropy" else 1 - share.amax(1)


def as_heat(name: str, score: torch.Tensor) -> torch.Tensor:
    """A score as a heat 0..1, higher is an artifact, in the same order: exp for `rba`, the others lie there."""
    return score.exp() if name == "rba" else score.clamp(0, 1)
