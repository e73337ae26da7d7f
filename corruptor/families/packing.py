"""Latents as the tokens of a transformer: 2 x 2 cells each, as FLUX and Qwen-Image have them.

Legend: B rows, C latent channels, H and W latent cells, T = H / 2 * W / 2 tokens.
"""

from __future__ import annotations

from torch import Tensor

SIDE = 2
"""Latent cells of a token, per side."""


def pack(latents_BCHW: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, T, 4 C), tokens row by row; within one the channel is the slowest, then row and column."""
    rows, channels, height, width = latents_BCHW.shape
    split = latents_BCHW.reshape(rows, channels, height // SIDE, SIDE, width // SIDE, SIDE)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(rows, (height // SIDE) * (width // SIDE), channels * SIDE**2)


def unpack(tokens_BTD: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack` for height x width cells."""
    rows, _, depth = tokens_BTD.shape
    split = tokens_BTD.reshape(rows, height // SIDE, width // SIDE, depth // SIDE**2, SIDE, SIDE)
    return split.permute(0, 3, 1, 4, 2, 5).reshape(rows, depth // SIDE**2, height, width)


def check_packing(takes: int, vae_channels: int) -> None:
    """That a transformer's tokens are 2 x 2 cells of the VAE's latents. Raises ValueError."""
    if takes != vae_channels * SIDE**2:
        raise ValueError(
            f"the transformer takes {takes} channels a token, but {SIDE} x {SIDE} cells of the VAE's {vae_channels} "
            f"channels make {vae_channels * SIDE**2}: models with another packing, or with a picture as a second "
            f"input, are not supported"
        )
