"""Verification: did the masked regions change, and did the rest stay?

Legend: H and W pixels, C colour channels. Change = mean over C of |corrupted - round trip|, in 0..255 units, where
the round trip is the source through the VAE alone: the VAE's own loss is no artifact.
Menn et al. 5.1 state that a selected region does not always end up damaged; what happens to one is a policy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corruptor.config import VerificationConfig
from shards.masks import label_components

IGNORE = 255


@dataclass(frozen=True)
class ComponentChange:
    """One connected component (8-connected) of the mask that was asked for."""

    box: tuple[int, int, int, int]
    """left, top, right, bottom in pixels, right and bottom excluded."""
    num_pixels: int
    """Pixels of the component before the policy."""
    num_pixels_kept: int
    """Pixels that are artifact (1) after the policy."""
    change_inside: float
    """Mean change over the component, 0..255."""
    changed_share: float
    """Share of its pixels that changed by more than pixel_threshold, 0..1."""
    change_ring: float
    """Mean change over the ring of one latent cell around it (mask pixels left out), 0..255; 0 where no ring."""
    passed: bool
    """The metric reached the threshold, the rise its own where there is a second opinion, and the distance lies in its
    band where there is one."""
    rise: float | None = None
    """Mean rise of the second opinion's score over the component, -1..1."""
    distance: float | None = None
    """Mean perceptual distance to the twin over the component, 0..2, where a band is asked for."""


@dataclass(frozen=True)
class Verification:
    """What was measured on one sample. Means over no pixel are 0.0: the pixel counts tell."""

    policy: str
    metric: str
    threshold: float
    pixel_threshold: float
    change_inside: float
    """Mean change over all mask pixels, 0..255."""
    change_ring: float
    """Mean change over the union of the rings."""
    change_outside: float
    """Mean change over everything that is neither mask, ring nor ignored."""
    num_pixels_inside: int
    num_pixels_ring: int
    num_pixels_outside: int
    num_components: int
    num_components_passed: int
    num_components_kept: int
    """Components with artifact pixels left after the policy; 0 with num_components > 0 means: not an artifact."""
    components: tuple[ComponentChange, ...]


def verify(
    corrupted_HWC: NDArray[np.uint8],
    round_trip_HWC: NDArray[np.uint8],
    mask_HW: NDArray[np.uint8],
    factor: int,
    config: VerificationConfig,
    rise_HW: NDArray[np.float32] | None = None,
    distance_HW: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.uint8], Verification]:
    """Measures change per component and applies the policy to components below the threshold.

    `trim` keeps of such a component the pixels whose change, averaged over a window of one latent cell (f x f,
    edges repeated), exceeds pixel_threshold; should fewer than f * f remain, the component is dropped. `tighten` drops
    such components and trims the others.

    Args:
        corrupted_HWC, round_trip_HWC: uint8 images of one size (ValueError otherwise).
        mask_HW: uint8; 0 clean, 1 artifact, 255 ignore (stays as it is and is not measured).
        factor: f, pixels a latent cell and side.
        rise_HW: float, by how much a detector's score rises from round trip to corrupted picture (`second_opinion`).
        distance_HW: float, perceptual distance of round trip and corrupted picture (`band`).

    Returns: the mask after the policy (uint8 HW), and the numbers.
    """
    if corrupted_HWC.shape != round_trip_HWC.shape or corrupted_HWC.shape[:2] != mask_HW.shape:
        raise ValueError(
            f"sizes differ: corrupted {corrupted_HWC.shape}, round trip {round_trip_HWC.shape}, mask {mask_HW.shape}"
        )
    change = change_map(corrupted_HWC, round_trip_HWC)
    inside = mask_HW == 1
    labels, count = label_components(inside)
    new_mask = mask_HW.copy()
    in_any_ring = np.zeros_like(inside)
    components = []
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        window = _grown(box, factor, mask_HW.shape)
        member = labels[window] == index
        ring = _dilated(member, factor) & (mask_HW[window] == 0)
        in_any_ring[window] |= ring
        numbers = _measure(change[window], member, ring, box, config)
        if rise_HW is not None and config.second_opinion is not None:
            rise = _mean(rise_HW[window], member)
            numbers = replace(numbers, rise=rise, passed=numbers.passed and rise >= config.second_opinion.rise)
        if distance_HW is not None and config.band is not None:
            apart = _mean(distance_HW[window], member)
            within = config.band.low <= apart <= config.band.high
            numbers = replace(numbers, distance=apart, passed=numbers.passed and within)
        if not numbers.passed or config.policy == "tighten":
            kept = _apply_policy(new_mask, change, labels == index, factor, config, numbers.passed)
            numbers = replace(numbers, num_pixels_kept=kept)
        components.append(numbers)
    outside = (mask_HW == 0) & ~in_any_ring
    return new_mask, Verification(
        policy=config.policy,
        metric=config.metric,
        threshold=float(config.threshold),
        pixel_threshold=float(config.pixel_threshold),
        change_inside=_mean(change, inside),
        change_ring=_mean(change, in_any_ring),
        change_outside=_mean(change, outside),
        num_pixels_inside=int(inside.sum()),
        num_pixels_ring=int(in_any_ring.sum()),
        num_pixels_outside=int(outside.sum()),
        num_components=count,
        num_components_passed=sum(c.passed for c in components),
        num_components_kept=sum(c.num_pixels_kept > 0 for c in components),
        components=tuple(components),
    )


def change_map(corrupted_HWC: NDArray[np.uint8], round_trip_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean absolute difference over the colour channels, float32 HW, 0..255."""
    difference = np.abs(corrupted_HWC.astype(np.int16) - round_trip_HWC.astype(np.int16))
    change: NDArray[np.float32] = difference.mean(axis=-1, dtype=np.float32)
    return change


def _measure(
    change: NDArray[np.float32],
    member: NDArray[np.bool_],
    ring: NDArray[np.bool_],
    box: tuple[slice, slice],
    config: VerificationConfig,
) -> ComponentChange:
    values = change[member]
    mean_abs = float(values.mean(dtype=np.float64))
    share = float((values > config.pixel_threshold).mean())
    score = {"mean_abs": mean_abs, "changed_share": share}[config.metric]
    return ComponentChange(
        box=(box[1].start, box[0].start, box[1].stop, box[0].stop),
        num_pixels=int(values.size),
        num_pixels_kept=int(values.size),
        change_inside=mean_abs,
        changed_share=share,
        change_ring=_mean(change, ring),
        passed=score >= config.threshold,
    )


def _apply_policy(
    new_mask: NDArray[np.uint8],
    change: NDArray[np.float32],
    member: NDArray[np.bool_],
    factor: int,
    config: VerificationConfig,
    passed: bool,
) -> int:
    """Rewrites one component in `new_mask`; returns how many of its pixels stay artifact."""
    if config.policy == "keep":
        return int(member.sum())
    if config.policy == "ignore":
        new_mask[member] = IGNORE
        return 0
    new_mask[member] = 0
    if config.policy == "drop" or (config.policy == "tighten" and not passed):
        return 0
    smooth = ndimage.uniform_filter(change, size=factor, mode="nearest")
    kept = member & (smooth > config.pixel_threshold)
    if int(kept.sum()) < factor * factor:
        return 0
    new_mask[kept] = 1
    return int(kept.sum())


def _grown(box: tuple[slice, slice], by: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The box with `by` more pixels on each side, within the image."""
    rows, columns = box
    return (
        slice(max(rows.start - by, 0), min(rows.stop + by, shape[0])),
        slice(max(columns.start - by, 0), min(columns.stop + by, shape[1])),
    )


def _dilated(member: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Everything within `by` pixels, diagonals counted as one (a square, as latent cells are)."""
    grown: NDArray[np.bool_] = ndimage.maximum_filter(member, size=2 * by + 1, mode="constant")
    return grown


def _mean(values: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean(dtype=np.float64)) if where.any() else 0.0
