"""Injection: what takes the place of the inverted latent inside the mask.

Legend: B images, C channels, H and W pixels of a mask or image, or cells of a latent; f = pixels a cell and side.
Methods of Menn et al.: `noised` is eq. 4-5, the others are section 5.3. Each transform works on any (B, C, H, W)
tensor, so that the same lines serve pixels, clean latents and inverted latents.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from corruptor.config import InjectionConfig
from corruptor.noise import forward_noise
from shards.masks import label_components


def cells_from_mask(masks_BHW: Tensor, factor: int) -> Tensor:
    """Latent cells to inject for pixel masks.

    A cell counts if at least half of its pixels are 1, and so does, for every component, the cell that holds most
    of its pixels (the first in row-major order on a tie), so that thin things are not lost.

    Args:
        masks_BHW: uint8, 1 = artifact; other values (0 clean, 255 ignore) are not injected.
        factor: f, pixels a cell and side; H and W must be multiples of it (ValueError).

    Returns: bool (B, H / f, W / f) on the CPU.
    """
    height, width = masks_BHW.shape[1:]
    if height % factor or width % factor:
        raise ValueError(f"mask of {height} x {width} pixels; both sides must be multiples of {factor}")
    rows = [_cells_of_one(mask, factor) for mask in (masks_BHW == 1).cpu().numpy()]
    shape = (len(rows), height // factor, width // factor)
    return torch.from_numpy(np.stack(rows) if rows else np.zeros(shape, dtype=bool))


def _cells_of_one(mask_HW: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    rows, columns = mask_HW.shape[0] // factor, mask_HW.shape[1] // factor
    covered = mask_HW.reshape(rows, factor, columns, factor).sum(axis=(1, 3))
    cells: NDArray[np.bool_] = 2 * covered >= factor * factor
    labels, count = label_components(mask_HW)
    if count:
        ys, xs = np.nonzero(labels)
        cell_of_pixel = (ys // factor) * columns + xs // factor
        # Pixels of every (component, cell) pair that occurs; then each component's fullest cell.
        pairs = labels[ys, xs].astype(np.int64) * cells.size + cell_of_pixel
        keys, pixels = np.unique(pairs, return_counts=True)
        component, cell = np.divmod(keys, cells.size)
        order = np.lexsort((cell, -pixels, component))
        _, first = np.unique(component[order], return_index=True)
        cells.ravel()[cell[order][first]] = True
    return cells


def components_of_cells(mask_HW: NDArray[np.uint8], factor: int) -> NDArray[np.int64]:
    """Which component of a mask each latent cell is of: the one with most pixels in it, of equals the first.

    Args:
        mask_HW: uint8, 1 = artifact. factor: as of `cells_from_mask`.

    Returns: int64 (H / f, W / f); numbers from 0 in the order of `shards.masks.label_components`, -1 for cells without
    a pixel of the mask.
    """
    rows, columns = mask_HW.shape[0] // factor, mask_HW.shape[1] // factor
    found = np.full(rows * columns, -1, np.int64)
    labels, count = label_components(mask_HW == 1)
    ys, xs = np.nonzero(labels)
    cell = (ys // factor) * columns + xs // factor
    pairs, pixels = np.unique(cell * (count + 1) + labels[ys, xs], return_counts=True)
    cells, component = np.divmod(pairs, count + 1)
    order = np.lexsort((-component, pixels))  # the last one written to a cell stays
    found[cells[order]] = component[order] - 1
    return found.reshape(rows, columns)


def inject(
    z_t_BCHW: Tensor,
    z0_BCHW: Tensor,
    noise_BCHW: Tensor,
    cells_BHW: Tensor,
    factors: tuple[float, float],
    config: InjectionConfig,
    changed_z0_BCHW: Tensor | None = None,
) -> Tensor:
    """Latents to resample: z_t outside the cells, the method's content inside (Menn et al. eq. 5).

    Args:
        z_t_BCHW: inverted latents, fp32 (z0 itself for `direct`).
        z0_BCHW: clean latents, fp32.
        noise_BCHW: N(0, 1) of the samples' generators, fp32.
        cells_BHW: bool, see `cells_from_mask`.
        factors: (signal, noise) of the start step, see `corruptor.schedule.Schedule.factors`.
        changed_z0_BCHW: encoding of the images changed by `transform_images`; needed where it acts on the image.
    """
    inside = _content(z_t_BCHW, z0_BCHW, noise_BCHW, cells_BHW, factors, config, changed_z0_BCHW)
    return torch.where(cells_BHW.to(z_t_BCHW.device)[:, None], inside, z_t_BCHW)


def _content(
    z_t: Tensor,
    z0: Tensor,
    noise: Tensor,
    cells: Tensor,
    factors: tuple[float, float],
    config: InjectionConfig,
    changed_z0: Tensor | None,
) -> Tensor:
    if config.method in ("gaussian", "direct"):
        return noise
    if config.method == "noised":
        return forward_noise(z0, noise, factors)
    if config.resolved_act_on == "z_t":
        return transform(z_t, cells, config, unit=1)
    if config.resolved_act_on == "z0":
        return forward_noise(transform(z0, cells, config, unit=1), noise, factors)
    if changed_z0 is None:
        raise ValueError("injection.act_on 'image' needs the encoding of the changed images")
    return forward_noise(changed_z0, noise, factors)


def transform_images(images_BHWC: Tensor, masks_BHW: Tensor, config: InjectionConfig, factor: int) -> Tensor:
    """Images (uint8 BHWC) with the method's damage done to the pixels where the mask is 1, else untouched."""
    pixels = images_BHWC.permute(0, 3, 1, 2).float()
    inside = (masks_BHW == 1).to(pixels.device)
    changed = torch.where(inside[:, None], transform(pixels, inside, config, unit=factor), pixels)
    return changed.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def transform(x_BCHW: Tensor, where_BHW: Tensor, config: InjectionConfig, unit: int) -> Tensor:
    """`blur`, `rotate` or `downscale` of a whole tensor; `unit` = tensor elements a latent cell and side."""
    if config.method == "blur":
        return _blur(x_BCHW, config.blur_sigma * unit)
    if config.method == "downscale":
        return _downscale(x_BCHW, config.downscale_factor)
    assert config.method == "rotate"
    return _rotate(x_BCHW, where_BHW)


def _blur(x: Tensor, sigma: float) -> Tensor:
    radius = ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    channels = x.shape[1]
    x = F.conv2d(F.pad(x, (radius, radius, 0, 0), mode="replicate"), kernel[:, :, None, :], groups=channels)
    return F.conv2d(F.pad(x, (0, 0, radius, radius), mode="replicate"), kernel[:, :, :, None], groups=channels)


def _downscale(x: Tensor, factor: int) -> Tensor:
    """Area mean over windows of the factor, back to size bilinearly; below one window a side stays one element."""
    height, width = x.shape[2:]
    small = (max(height // factor, 1), max(width // factor, 1))
    reduced = F.interpolate(x, size=small, mode="area")
    return F.interpolate(reduced, size=(height, width), mode="bilinear", align_corners=False)


def _rotate(x: Tensor, where: Tensor) -> Tensor:
    """Each component turned by 90 degrees about the middle of its box; what it draws from beyond the edge is
    mirrored in. Turning the whole image instead would bring foreign content into the mask."""
    height, width = x.shape[2:]
    result = x.clone()
    for row, mask in enumerate(where.cpu().numpy()):
        labels, _ = label_components(mask)
        for index, box in enumerate(ndimage.find_objects(labels), start=1):
            ys, xs = np.nonzero(labels[box] == index)
            ys, xs = ys + box[0].start, xs + box[1].start
            # Twice the box's middle; both of one parity, so that a quarter turn maps elements onto elements.
            middle_y, middle_x = box[0].start + box[0].stop - 1, box[1].start + box[1].stop - 1
            middle_x -= (middle_x - middle_y) % 2
            from_y = mirror((middle_y - middle_x) // 2 + xs, height)
            from_x = mirror((middle_y + middle_x) // 2 - ys, width)
            target, source = (torch.from_numpy(np.stack(pair)).to(x.device) for pair in ((ys, xs), (from_y, from_x)))
            result[row, :, target[0], target[1]] = x[row, :, source[0], source[1]]
    return result


def mirror(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Folds any index into 0 .. size - 1 by reflection that repeats the edge."""
    index = index % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)
