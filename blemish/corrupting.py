"""`Corruptor`: pictures and masks in, pictures with artifacts and their labels out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blemish.inputs import InputError, Masks, Pictures, read_images, read_masks, read_prompts
from blemish.results import Corrupted, Regions
from corruptor.config import CorruptionConfig
from shards.build import BuildError, build
from shards.config import make_config, read_config
from shards.errors import ConfigError
from shards.masks import U8
from shards.resize import SizePolicy, resize_image, resize_mask

if TYPE_CHECKING:
    from corruptor.backbone import Backbone
    from corruptor.finish import CorruptedBatch, Judges

EMBEDDED = "miniworld/weights"
"""The generator that comes with this package: small pictures (64 x 64) of a toy world."""
CONFIG_OF_EMBEDDED = "configs/shards/miniworld_once.py"
"""Not the default of `make shards`, which doubles what did not break beside the mask: here the caller says where."""


class Corruptor:
    """A latent diffusion model that puts artifacts into pictures where a mask says so, and labels what changed.

    Made by `from_pretrained` or `from_pipeline`; calling it corrupts pictures.

    Args:
        backbone: the loaded model, see `corruptor.backbone`.
        config: how to corrupt, see `corruptor.config`.
        batch_size: pictures that go through the model together; bounds the memory, and moves pixels by rounding only.

    Raises ConfigError where the model has no such steps.
    """

    def __init__(self, backbone: Backbone, config: CorruptionConfig, batch_size: int = 8) -> None:
        from corruptor.line.run import check_grid

        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; needed: 1 or more")
        check_grid(config, backbone)
        self.backbone, self.config, self.batch_size = backbone, config, batch_size

    @classmethod
    def from_pretrained(
        cls,
        folder_or_id: str | Path = EMBEDDED,
        *,
        device: str = "auto",
        config: CorruptionConfig | Mapping[str, Any] | str | Path | None = None,
        batch_size: int = 8,
        **model: Any,
    ) -> Corruptor:
        """Load a model.

        Args:
            folder_or_id: a pipeline folder in diffusers format, a single .safetensors file, or a hub id owner/name; by
                default the embedded generator.
            device: auto (cuda where there is a card, else cpu) or any torch device.
            config: how to corrupt: a CorruptionConfig, a mapping of its fields, or the path of a run's config such as
                configs/shards/sd15_progamer_step40.py, of which `corruption` is used. None takes what is recommended:
                for the embedded generator the first try of `make shards`, else the defaults of CorruptionConfig.
            model: further fields of `corruptor.line.config.ModelConfig`: dtype, vae_dtype, revision, variant, vae,
                vae_revision, channels_last, text_encoders, quantise; and `single_file_config`, the folder of configs
                that a single file needs.

        Raises MissingInputError (a FileNotFoundError: no such model), ModelError, ConfigError (both ValueErrors).
        """
        from corruptor.line.config import ModelConfig
        from corruptor.line.run import open_model

        if "single_file_config" in model:
            model["config"] = model.pop("single_file_config")
        try:
            wanted = build(ModelConfig, {**model, "folder": str(folder_or_id)})
        except BuildError as error:
            raise ConfigError(f"model: {error}") from error
        backbone = open_model(wanted, pick_device(device))
        is_embedded = config is None and str(folder_or_id) == EMBEDDED
        return cls(backbone, read_corruption(CONFIG_OF_EMBEDDED if is_embedded else config, backbone), batch_size)

    @classmethod
    def from_pipeline(
        cls,
        pipe: Any,
        *,
        config: CorruptionConfig | Mapping[str, Any] | str | Path | None = None,
        batch_size: int = 8,
    ) -> Corruptor:
        """Use a diffusers pipeline that is in memory, on its device and in its dtypes.

        Its networks are used in place: nothing is loaded, copied or changed, so the pipeline stays usable. The classes
        that can be used are those of `corruptor.families` (Stable Diffusion 1, 2, XL, Turbo, 3 and 3.5, FLUX.1 and
        Qwen-Image: text to image, image to image, inpainting with a plain denoiser).

        Raises ValueError, one line: another class (naming what is allowed), offloaded parts, a VAE in float16 that
        overflows in it, or parts that do not fit each other.
        """
        from corruptor.in_memory import backbone_of

        backbone = backbone_of(pipe)
        return cls(backbone, read_corruption(config, backbone), batch_size)

    def __call__(
        self,
        images: Pictures,
        masks: Masks,
        prompts: str | Sequence[str] | None = None,
        seed: int = 0,
        *,
        variants: int = 1,
        mask_values: str = "auto",
        mask_threshold: float | None = None,
        size: SizePolicy | int | None = None,
    ) -> Corrupted:
        """Put artifacts into pictures.

        The noise of a row follows from `seed`, the pixels of its picture and the number of its variant alone, so a
        picture comes out the same alone or among others, but for rounding (a few pixels by 1 of 255).

        Args:
            images: PIL, numpy or torch, one or many, see `blemish.inputs.read_images`.
            masks: one for each picture, of its size: PIL, numpy or torch, bool, 0/1 or 0/255, see
                `blemish.inputs.read_masks`; or what `select_regions` gave. A picture with an empty mask comes out as a
                clean reconstruction.
            prompts: what the pictures show: a text for each, one text for all, or None.
            seed: of the noise.
            variants: so many rows of each picture, with other noise; they share its inversion.
            mask_values: what the masks' values mean: `auto` (bool, 0/1 or 0/255), `01`, `0255`, `blemish` (0 clean, 1
                artifact, 255 ignore) or `file` (0 clean, 255 artifact, 128 ignore).
            mask_threshold: where soft masks are cut, 0..1.
            size: how pictures and masks are brought to a size that the model takes: a number S (short side to S, then
                the centre square), or a `shards.resize.SizePolicy`. None: they must fit as they are.

        Raises InputError (a ValueError), one line: pictures, masks, prompts or sizes that do not fit each other or the
            model, or that can be read in two ways. FloatingPointError where the model gives NaN, as half precision can.
        """
        if variants < 1:
            raise InputError(f"variants is {variants}; needed: 1 or more")
        pictures = read_images(images)
        texts = read_prompts(prompts, len(pictures))
        if isinstance(masks, Regions) and mask_values == "auto" and mask_threshold is None:
            mask_values = "blemish"
        planes, read_as = read_masks(masks, [one.shape[:2] for one in pictures], mask_values, mask_threshold)
        if size is not None:
            pictures, planes = resize_all(pictures, planes, size)
        self._check_sizes(pictures)
        rows = self._rows(pictures, planes, texts, seed, variants)
        places = range(len(pictures) * variants)
        return Corrupted(
            images=tuple(rows[place].image for place in places),
            labels=tuple(rows[place].label for place in places),
            twins=tuple(rows[place].twin for place in places),
            requested_masks=tuple(planes[place // variants] for place in places),
            measured=tuple(rows[place].measured for place in places),
            seeds=tuple(rows[place].seed for place in places),
            nfe=tuple(rows[place].nfe for place in places),
            prompts=tuple(texts[place // variants] for place in places),
            source_of_row=tuple(place // variants for place in places),
            masks_read_as=read_as,
        )

    def _check_sizes(self, pictures: Sequence[U8]) -> None:
        multiple = self.backbone.size_multiple
        for place, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            if height % multiple or width % multiple:
                raise InputError(
                    f"image {place} is {height} x {width} pixels; this model takes multiples of {multiple}: resize it, "
                    f"or say how: size=512"
                )

    def _rows(
        self, pictures: Sequence[U8], planes: Sequence[U8], prompts: Sequence[str], seed: int, variants: int
    ) -> dict[int, _Row]:
        """All rows by their place; pictures of one size go through the model together."""
        from corruptor.noise import sample_seed

        groups: dict[tuple[int, ...], list[int]] = {}
        for place, picture in enumerate(pictures):
            groups.setdefault(picture.shape, []).append(place)
        digests = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]
        rows: dict[int, _Row] = {}
        for group in groups.values():
            for first in range(0, len(group), self.batch_size):
                chosen = group[first : first + self.batch_size]
                seeds = [sample_seed(seed, digests[place], 0, k) for place in chosen for k in range(variants)]
                done = self._run(
                    [pictures[place] for place in chosen],
                    [planes[place] for place in chosen for _ in range(variants)],
                    [prompts[place] for place in chosen],
                    seeds,
                    [number for number in range(len(chosen)) for _ in range(variants)],
                )
                where = [place * variants + k for place in chosen for k in range(variants)]
                rows |= dict(zip(where, _split(done), strict=True))
        return rows

    def _run(
        self,
        pictures: Sequence[U8],
        planes: Sequence[U8],
        prompts: Sequence[str],
        seeds: Sequence[int],
        source_of_row: Sequence[int],
    ) -> CorruptedBatch:
        import torch

        from corruptor.corrupt import corrupt as corrupt_batch

        images, masks = torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(planes))
        return corrupt_batch(self.backbone, images, masks, prompts, seeds, self.config, source_of_row, self._judges)

    @cached_property
    def _judges(self) -> Judges:
        from corruptor.line.opinion import open_judges

        return open_judges(self.config.verification)


@dataclass(frozen=True)
class _Row:
    """One finished row."""

    image: U8
    label: U8
    twin: U8
    measured: Any
    seed: int
    nfe: int


def _split(done: CorruptedBatch) -> list[_Row]:
    return [
        _Row(
            done.images_NHWC[place].numpy(),
            done.masks_NHW[place].numpy(),
            done.round_trips_NHWC[place].numpy(),
            done.verifications[place],
            done.seeds[place],
            done.nfe_of(place),
        )
        for place in range(len(done.seeds))
    ]


def resize_all(pictures: Sequence[U8], planes: Sequence[U8], size: SizePolicy | int) -> tuple[list[U8], list[U8]]:
    """Pictures and masks by one policy; padding is ignored. Raises InputError."""
    try:
        policy = SizePolicy("crop", size) if isinstance(size, int) else size
        return [resize_image(one, policy) for one in pictures], [resize_mask(one, policy) for one in planes]
    except ValueError as error:
        raise InputError(f"size: {error}") from error


def read_corruption(
    config: CorruptionConfig | Mapping[str, Any] | str | Path | None, backbone: Backbone
) -> CorruptionConfig:
    """What `config` of a Corruptor stands for. Raises ConfigError, MissingInputError."""
    if isinstance(config, CorruptionConfig):
        return config
    if config is None:
        # Models distilled to a few steps have a grid of their own.
        return CorruptionConfig(num_grid_steps=backbone.schedule.num_steps)
    if isinstance(config, Mapping):
        return make_config(config, CorruptionConfig, "config")
    return make_config(read_config(config).get("corruption", {}), CorruptionConfig, f"{config}: corruption")


def pick_device(name: str) -> str:
    """auto: cuda where there is a card, else cpu. Raises ConfigError for a device that cannot be used."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} cannot be used ({str(error).splitlines()[0]}); try device='cpu'") from error
    return name


@lru_cache(maxsize=1)
def default_corruptor() -> Corruptor:
    """The embedded generator, loaded once a process."""
    return Corruptor.from_pretrained()


def corrupt(
    image: Pictures, mask: Masks, prompt: str | Sequence[str] | None = None, seed: int = 0, **options: Any
) -> Corrupted:
    """Put an artifact into a picture with the embedded generator, which is loaded on the first call.

    Arguments and result as of calling a `Corruptor`; for photographs make one of another model.

    Raises InputError as that does.
    """
    if "prompts" in options:
        raise InputError("corrupt() takes `prompt`, one for all pictures or a list; `prompts` is the Corruptor's")
    return default_corruptor()(image, mask, prompt, seed, **options)
