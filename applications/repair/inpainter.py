"""What every inpainter is, and which one a name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from applications.repair.options import EMBEDDED, FillOptions, RepairError
from shards.errors import MissingInputError
from shards.guard.json_text import read_object
from shards.masks import U8

KINDS = ("auto", "masked", "blended")
EMBEDDED_GUIDANCE = 2.5


class Inpainter(Protocol):
    """A generator that fills masks of pictures.

    Attributes: `kind` (masked or blended), `size` (longer side of what it is given, in pixels), `multiple` (sides are
    multiples of it), `facts` (plain values: model, revision, steps, guidance, .., for the record).
    """

    kind: str
    size: int
    multiple: int
    facts: dict[str, object]

    def fill(self, images: U8, masks: U8, prompts: Sequence[str], seeds: Sequence[int]) -> U8:
        """Inpaint.

        Args:
            images: uint8 BHWC RGB, 0..255; sides are multiples of `multiple`.
            masks: uint8 BHW, 1: what is filled, 0: what stays.
            prompts: B captions, "" for none.
            seeds: B seeds; what a row becomes depends on its own alone, but for rounding.

        Returns: uint8 BHWC; outside the mask about what was given (an autoencoder's round trip).
        Raises RepairError where the model gives no finite numbers.
        """
        ...


def open_inpainter(
    name: str, kind: str = "auto", options: FillOptions | None = None, device: str = "auto", revision: str = ""
) -> Inpainter:
    """Load an inpainter.

    Args:
        name: a pipeline folder in diffusers format (as given, else beside the installed packages), or a hub id.
        kind: `masked`: a model with mask channels (Stable Diffusion 1, 2, XL inpainting, FLUX Fill); `blended`: any
            text-to-image model of `corruptor.families`, by latents blended outside the mask at every step (Avrahami et
            al. 2023, Blended Latent Diffusion); `auto`: what the folder's model_index.json says.
        device: auto, cpu, cuda or cuda:N.

    Raises MissingInputError (no such model), RepairError (no mask channels, a kind that does not fit, a model that
        cannot be loaded), ConfigError (steps that the model does not have), all UserErrors.
    """
    from applications.repair.pipelines import MASKED, load_pipeline
    from detector.heat import pick_device

    if kind not in KINDS:
        raise RepairError(f"--kind is {kind!r}; allowed are {', '.join(KINDS)}")
    where = str(pick_device(device))
    found, told = pipeline_class(name, revision)
    masked = told in MASKED
    if kind == "masked" and not masked:
        raise RepairError(
            f"{name} is a {told}, which has no mask channels; use --kind blended, or name one of {', '.join(MASKED)}"
        )
    if kind == "blended" and masked:
        raise RepairError(f"{name} is a {told}, which takes the mask as channels; leave --kind blended out")
    options = options or FillOptions()
    if masked:
        return load_pipeline(name, found, told, options, where, revision)
    return open_blended(name, options, where, revision)


def open_blended(name: str, options: FillOptions, device: str, revision: str) -> Inpainter:
    """A text-to-image model whose latents are blended. Raises as `open_inpainter`."""
    from dataclasses import replace
    from typing import Literal, cast

    from applications.repair.blended import BlendedInpainter
    from corruptor.line.config import ModelConfig
    from corruptor.line.run import ModelError, open_model

    if name == EMBEDDED and options.guidance is None:
        options = replace(options, guidance=EMBEDDED_GUIDANCE)
    dtype = cast(Literal["auto", "float32", "float16", "bfloat16"], options.dtype)
    try:
        backbone = open_model(ModelConfig(folder=name, revision=revision, dtype=dtype), device)
    except ModelError as error:
        raise RepairError(f"inpainter {name}: {error}") from error
    return BlendedInpainter(backbone, options)


def pipeline_class(name: str, revision: str) -> tuple[Path, str]:
    """Folder of a model (of a hub id: with its model_index.json alone) and diffusers' class that it names.

    Raises MissingInputError, RepairError.
    """
    from corruptor.hub import fetch, refuse_local
    from shards.config import INSTALLED

    folder = next((path for path in (Path(name), INSTALLED / name) if path.is_dir()), None)
    try:
        if folder is None:
            refuse_local(name)
            folder = fetch(name, revision, ["model_index.json"]).folder
    except FileNotFoundError as error:
        raise MissingInputError(f"inpainter {name}: {error}") from error
    index = folder / "model_index.json"
    if not index.is_file():
        raise MissingInputError(f"inpainter {name} has no model_index.json: name a pipeline folder in diffusers format")
    told = read_object(index).get("_class_name")
    if not isinstance(told, str):
        raise RepairError(f"{index} names no pipeline; fetch it again")
    return folder, told
