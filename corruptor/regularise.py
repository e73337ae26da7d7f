"""Noise regularisation of ReNoise (Garibi et al. 2024, section 4.3), for whole batches.

Legend: B images, C latent channels, H and W latent cells, P patches, E elements of a patch.
Each sample's loss is its own sum, so the gradient of one does not see the others. All arithmetic is fp32 and
variances have a floor: flat areas have none, and half precision turned that into NaN elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from corruptor.config import InversionConfig

_PATCH = 4
_SMALLEST_LEVEL = 8
# Keeps a KL gradient step contracting: weight * 2 / (elements of a patch * floor) must stay below 2.
_VARIANCE_FLOOR = 1e-2


def regularise_noise(noise_BCHW: Tensor, reference_BCHW: Tensor, config: InversionConfig) -> Tensor:
    """Moves predicted noise towards uncorrelated noise with the reference's patch statistics.

    Both inputs fp32 (B, C, H, W); returns the same shape. Gradient descent, `regularise_num_steps` times, first on
    the auto-correlation over fixed shifts (ReNoise and pix2pix-zero draw them at random), then on the patch KL.
    """
    noise, reference = noise_BCHW.float(), reference_BCHW.float()
    for _ in range(config.regularise_num_steps):
        if config.autocorrelation_weight:
            gradient = _gradient(lambda x: autocorrelation(x, config.regularise_num_shifts), noise)
            noise = noise - config.autocorrelation_weight * gradient
        if config.patch_kl_weight:
            gradient = _gradient(lambda x: patch_kl(x, reference), noise)
            noise = noise - config.patch_kl_weight * gradient
    return noise


def autocorrelation(noise_BCHW: Tensor, num_shifts: int) -> Tensor:
    """(B,) squared correlation of the noise with itself shifted, over a pyramid, summed over channels and axes.

    Mean over the shifts 1 .. num_shifts (wrapped below half the side, since a shift of nothing is the variance).
    """
    total = noise_BCHW.new_zeros(noise_BCHW.shape[0])
    level = noise_BCHW
    while True:
        for axis in (2, 3):
            half = max(level.shape[axis] // 2, 1)
            for shift in range(num_shifts):
                shifted = level.roll(1 + shift % half, dims=axis)
                total = total + (level * shifted).mean(dim=(2, 3)).square().sum(dim=1) / num_shifts
        if min(level.shape[2:]) <= _SMALLEST_LEVEL:
            return total
        level = F.avg_pool2d(level, 2)


def patch_kl(noise_BCHW: Tensor, reference_BCHW: Tensor) -> Tensor:
    """(B,) KL divergence of Gaussians fitted to each 4 x 4 patch of a channel, noise against reference, summed."""
    x_BCPE, y_BCPE = _patches(noise_BCHW), _patches(reference_BCHW)
    var_x = x_BCPE.var(dim=-1, correction=0).clamp(min=_VARIANCE_FLOOR)
    var_y = y_BCPE.var(dim=-1, correction=0).clamp(min=_VARIANCE_FLOOR)
    shift = x_BCPE.mean(dim=-1) - y_BCPE.mean(dim=-1)
    kl = torch.log(var_y / var_x) + (var_x + shift.square()) / var_y - 1.0
    return kl.sum(dim=(1, 2))


def _patches(x_BCHW: Tensor) -> Tensor:
    size = min(_PATCH, *x_BCHW.shape[2:])
    tiles = x_BCHW.unfold(2, size, size).unfold(3, size, size)
    return tiles.flatten(4).flatten(2, 3)


def _gradient(loss: Callable[[Tensor], Tensor], noise: Tensor) -> Tensor:
    with torch.enable_grad():
        variable = noise.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(variable).sum(), variable)
    return gradient
