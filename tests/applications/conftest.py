"""Pictures to repair, a small real detector, and stand-ins of which every decision can be foreseen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_inpainters import make_flux_fill, make_sd_inpaint, make_sdxl_inpaint, tiny_models

DETECTOR = "region_select/weights/swin_mini.safetensors"
GREY, RED = (120, 120, 120), (255, 0, 0)


class Redness:
    """A detector whose heat is how red a pixel is: 1 for (255, 0, 0)."""

    def heat(self, images: Sequence[Any]) -> list[Any]:
        found = [image.astype(np.float32) for image in images]
        return [np.clip(one[..., 0] - one[..., 1:].max(-1), 0, 255) / 255 for one in found]


class Painter:
    """An inpainter that paints what it was told, call by call, under the mask; it remembers what it was given."""

    kind, size, multiple = "masked", 16, 4

    def __init__(self, *colours: tuple[int, int, int]) -> None:
        self.colours, self.calls = list(colours), []  # type: ignore[var-annotated]
        self.facts = {"model": "painter"}

    def fill(self, images: Any, masks: Any, prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        colour = self.colours[min(len(self.calls), len(self.colours) - 1)]
        self.calls.append((images.copy(), masks.copy(), list(prompts), list(seeds)))
        filled = images.copy()
        filled[masks == 1] = colour
        return filled


@pytest.fixture
def redness() -> Redness:
    return Redness()


@pytest.fixture
def painter() -> type[Painter]:
    return Painter


@pytest.fixture(scope="session")
def inpainters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pipeline folders of diffusers' classes; `sd` is text to image."""
    folder = tmp_path_factory.mktemp("inpainters")
    return {
        "sd_inpaint": make_sd_inpaint(folder / "sd_inpaint"),
        "sdxl_inpaint": make_sdxl_inpaint(folder / "sdxl_inpaint"),
        "flux_fill": make_flux_fill(folder / "flux_fill"),
        "no_channels": make_sd_inpaint(folder / "no_channels", channels=4),
        "sd": tiny_models().make_sd(folder / "sd"),
    }
