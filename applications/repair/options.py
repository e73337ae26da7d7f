"""What a repair is asked to do; loads nothing heavy, so that --help is quick."""

from __future__ import annotations

from dataclasses import dataclass

from shards.errors import ConfigError, UserError

EMBEDDED = "miniworld/weights"
"""The generator that comes with this package."""
WHOLE = "whole"
NOISED, INVERTED = "noised", "inverted"
DTYPES = ("auto", "float32", "float16", "bfloat16")
MOST_REGIONS = 64
"""Regions of one picture that are tried in one round, those with most artifact first."""


class RepairError(UserError, ValueError):
    """An inpainter that cannot be used, or gives no picture."""


@dataclass(frozen=True)
class RepairOptions:
    """How to repair; everything here decides what comes out, but for `batch` and `device` (rounding alone)."""

    threshold: float = 0.5
    """A pixel is an artifact from this probability on."""
    zoom: float = 1.5
    """Side of a crop / longest side of its component (PAL: 1.5); 0: the whole picture is the context."""
    least_crop: int = 0
    """Smallest side of a crop, in pixels; 0: a quarter of the model's size."""
    dilation: float = 10.0
    """Pixels by which the mask grows, for a short side of 512 (PAL4VST: 10); other sizes in proportion."""
    rounds: int = 3
    """Attempts with other seeds before a component is given up."""
    least_drop: float = 0.1
    """Share by which a component's artifact mass must fall for its repair to be kept."""
    check: bool = True
    """Look again, and undo what did not help; False keeps everything (PAL's pipeline), in one round."""
    seed: int = 0
    batch: int = 16
    """Crops that are inpainted together."""
    device: str = "auto"

    def __post_init__(self) -> None:
        within("--threshold", self.threshold, 0, 1, open_ends=True)
        within("--least-drop", self.least_drop, 0, 1)
        within("--dilation", self.dilation, 0, 128)
        within("--rounds", self.rounds, 1, 100)
        within("--batch", self.batch, 1, 1024)
        within("--seed", self.seed, 0, 2**63 - 1)
        if self.zoom and not 1 <= self.zoom <= 16:
            raise ConfigError(f"--zoom is {self.zoom:g}; allowed are 1 to 16, or {WHOLE} for the whole picture")
        if self.least_crop and not 8 <= self.least_crop <= 8192:
            raise ConfigError(f"--min-crop is {self.least_crop}; allowed are 8 to 8192 pixels, or 0 for the usual")
        if not self.check and self.rounds != 1:
            raise ConfigError(f"--no-check keeps what comes first; --rounds is {self.rounds}, needed: 1")


@dataclass(frozen=True)
class FillOptions:
    """How an inpainter works; None: what is usual for its kind."""

    steps: int | None = None
    """Denoising steps."""
    guidance: float | None = None
    """Classifier-free guidance."""
    strength: float = 1.0
    """Share of the steps that are taken: 1 begins with noise alone, less keeps something of what was there."""
    negative_prompt: str = ""
    known: str = NOISED
    """Of blended latents: what is put back outside the mask. `noised`: the picture's latents with noise of the step's
    level (Blended Latent Diffusion); `inverted`: the latents of its inversion, which cost a pass a step more."""
    size: int = 0
    """Longer side of what the model is given, in pixels; 0: the model's own."""
    dtype: str = "auto"
    """What the denoiser computes in, one of DTYPES; auto: half precision on a card, float32 on the CPU. Of a model with
    mask channels all networks do."""

    def __post_init__(self) -> None:
        if self.steps is not None:
            within("--steps", self.steps, 1, 1000)
        if self.guidance is not None:
            within("--guidance", self.guidance, 1, 1000)
        if not 0 < self.strength <= 1:
            raise ConfigError(f"--strength is {self.strength:g}; allowed is above 0 and up to 1")
        if self.known not in (NOISED, INVERTED):
            raise ConfigError(f"--known is {self.known!r}; allowed are {NOISED} and {INVERTED}")
        if self.dtype not in DTYPES:
            raise ConfigError(f"--dtype is {self.dtype!r}; allowed are {', '.join(DTYPES)}")
        if self.size and not 16 <= self.size <= 4096:
            raise ConfigError(f"--size is {self.size}; allowed are 16 to 4096 pixels, or 0 for the model's own")


def told_dtype(options: FillOptions) -> dict[str, object]:
    """The dtype for an inpainter's facts where it was asked for; {} for auto, so that older runs resume."""
    return {} if options.dtype == "auto" else {"dtype": options.dtype}


def read_zoom(text: str) -> float:
    """`whole` -> 0, else the number. Raises ConfigError."""
    try:
        return 0.0 if text == WHOLE else max(float(text), 1e-9)  # 0 is no name for the whole picture
    except ValueError as error:
        raise ConfigError(f"--zoom is {text!r}; allowed are 1 to 16, or {WHOLE}") from error


def within(name: str, value: float, low: float, high: float, open_ends: bool = False) -> None:
    """Raises ConfigError unless low <= value <= high, without the ends where they are open."""
    if not (low < value < high if open_ends else low <= value <= high):
        between = "between" if open_ends else "from"
        raise ConfigError(
            f"{name} is {value:g}; allowed is a number {between} {low:g} {'and' if open_ends else 'to'} {high:g}"
        )
