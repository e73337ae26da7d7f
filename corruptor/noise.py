"""Seeds and noise of single samples: what a sample's noise is depends on the sample alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shards.seeds import named_seed

if TYPE_CHECKING:  # seeds alone need no torch: a plan is made of them
    import torch
    from torch import Tensor


def sample_seed(run_seed: int, source_sha256: str, occurrence: int, variant: int) -> int:
    """Seed of one sample, 0 .. 2**63 - 1 (so that it fits the signed 64-bit integers of JSON readers).

    Args:
        run_seed: the run's own seed.
        source_sha256: hex digest of the source image's bytes.
        occurrence: how many times the same bytes came before in the source list.
        variant: index of the corruption made from this source.
    """
    return named_seed(f"{int(run_seed)}/{source_sha256.lower()}/{int(occurrence)}/{int(variant)}")


def try_seed(seed: int, number: int) -> int:
    """Seed of a ladder's try for the sample of this seed; the first, 0, is the sample's own."""
    return named_seed(f"{seed}/try/{number}") if number else seed


def sample_generator(seed: int) -> torch.Generator:
    """The generator of one sample: on the CPU, so that its bits are the same whatever device does the work."""
    import torch

    return torch.Generator(device="cpu").manual_seed(seed)


def draw_noise(generators: Sequence[torch.Generator], shape: Sequence[int], device: torch.device) -> Tensor:
    """N(0, 1) fp32 of (len(generators), *shape) on `device`, each row from its own generator."""
    import torch

    rows = [torch.randn(tuple(shape), generator=generator, dtype=torch.float32) for generator in generators]
    return torch.stack(rows).to(device)


def forward_noise(z0_BCHW: Tensor, noise_BCHW: Tensor, factors: tuple[float, float]) -> Tensor:
    """signal * z0 + noise * eps with the schedule's factors (Menn et al. eq. 4); the noise may lack the first axis."""
    signal, noise = factors
    return signal * z0_BCHW + noise * noise_BCHW
