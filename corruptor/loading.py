"""A model's files into its networks, safetensors only."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoTokenizer

from corruptor.families.family import Family, ModelPart
from corruptor.families.table import FAMILIES, family_of, read_json
from corruptor.hub import Located
from corruptor.model_folder import check_index, check_network, check_pieces, check_scheduler, check_tokenizer
from corruptor.quantise import load_options

TEXT_ENCODERS = ("auto", "stay", "leave")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Loaded:
    """The parts of a model, by the names of their folders, and the files they came from."""

    family: Family
    parts: Mapping[str, Any]
    files: Mapping[str, Path]
    """Every file that was read: name within the pipeline -> path."""
    zero_negative: bool
    text_leaves: bool = False
    """Text encoders are on the device only while prompts are embedded."""


@dataclass(frozen=True)
class Precision:
    """What the networks compute in; see `backbone.load_backbone`."""

    dtype: str | torch.dtype = "auto"
    vae_dtype: str | torch.dtype = "auto"
    quantise: str = ""


def load_parts(
    found: Located, device: torch.device, precision: Precision, vae: Located | None, text_encoders: str = "auto"
) -> Loaded:
    """Loads all parts, ready for inference: text encoders that leave the device on the CPU, the others on the device.

    Arguments as of `backbone.load_backbone`. Raises FileNotFoundError naming the missing part, ValueError for what is
    not supported.
    """
    family = family_of(found.folder)
    check_index(found.folder / "model_index.json")
    leaves = text_leaves(text_encoders, family, device)
    vae_folder = vae.folder if vae else found.folder / "vae"
    vae_fetch = vae.fetch if vae else found.fetch
    _require(vae_folder, ("config.json",), "vae", vae_fetch)
    dtypes = pick_dtypes(family, device, precision, read_json(vae_folder / "config.json"))
    more = load_options(precision.quantise, device, dtypes["denoiser"])
    files: dict[str, Path] = {}
    parts = _tokenizers(found, family, files)
    if vae:
        parts["vae"] = _load_model(vae_folder, "vae", family.models["vae"], dtypes["vae"], files, vae_fetch)
    absent = {name for name in family.optional if not (found.folder / name).is_dir()}
    names = [name for name in family.models if name not in parts and name not in absent]
    if found.file:
        parts |= _load_file(found, family, names, dtypes, parts, files)
    else:
        for name in names:
            part = family.models[name]
            told = more if part.role == "denoiser" else {}
            parts[name] = _load_model(found.folder / name, name, part, dtypes[part.role], files, found.fetch, told)
    for name, part in family.models.items():
        if name in parts:
            if not (leaves and part.role == "text") and not (precision.quantise and part.role == "denoiser"):
                parts[name] = parts[name].to(device)
            parts[name] = parts[name].eval().requires_grad_(False)
    zero_negative = bool(
        read_json(found.folder / "model_index.json").get("force_zeros_for_empty_prompt", family.zero_negative)
    )
    return Loaded(family, parts, files, zero_negative, leaves)


def text_leaves(asked: str, family: Family, device: torch.device) -> bool:
    """Whether text encoders leave the device after use. Raises ValueError."""
    if asked not in TEXT_ENCODERS:
        raise ValueError(f"text_encoders is {asked!r}; allowed are {', '.join(TEXT_ENCODERS)}")
    return device.type != "cpu" and (asked == "leave" or (asked == "auto" and family.text_leaves))


def pick_dtypes(
    family: Family, device: torch.device, precision: Precision, vae_config: Mapping[str, Any]
) -> dict[str, torch.dtype]:
    """What the networks compute in, by role. Raises ValueError."""
    denoiser = pick_dtype(precision.dtype, "dtype", family.half if device.type == "cuda" else torch.float32)
    return {
        "denoiser": denoiser,
        "vae": pick_vae_dtype(precision.vae_dtype, denoiser, family, vae_config),
        "text": torch.float32 if denoiser == torch.float32 else family.half_text,
    }


def pick_dtype(value: str | torch.dtype, name: str, auto: torch.dtype) -> torch.dtype:
    """A dtype by name. Raises ValueError listing the allowed ones."""
    if value == "auto":
        return auto
    if isinstance(value, torch.dtype) and value in DTYPES.values():
        return value
    if str(value) not in DTYPES:
        raise ValueError(f"{name} is {value!r}; allowed are auto, {', '.join(DTYPES)}")
    return DTYPES[str(value)]


def pick_vae_dtype(
    value: str | torch.dtype, denoiser_dtype: torch.dtype, family: Family, config: Mapping[str, Any]
) -> torch.dtype:
    """What the VAE runs in. Raises ValueError where float16 is asked of a VAE that overflows in it.

    A config without `force_upcast` has diffusers' default, which is true.
    """
    overflows = family.heeds_force_upcast and bool(config.get("force_upcast", True))
    half = torch.float32 if overflows else family.half_vae
    dtype = pick_dtype(value, "vae_dtype", torch.float32 if denoiser_dtype == torch.float32 else half)
    if overflows and dtype == torch.float16:
        raise ValueError(
            "vae_dtype is float16, in which this VAE overflows (its config has force_upcast); use auto, float32 or "
            "bfloat16, or name a VAE made for float16: vae=madebyollin/sdxl-vae-fp16-fix"
        )
    return dtype


def _tokenizers(found: Located, family: Family, files: dict[str, Path]) -> dict[str, Any]:
    """Tokenizers and the noise schedule."""
    parts: dict[str, Any] = {}
    for name in family.tokenizers:
        if name in family.optional and not (found.folder / name).is_dir():
            continue
        _require(found.folder / name, ("tokenizer.json", "vocab.json"), name, found.fetch)
        check_tokenizer(found.folder / name)
        parts[name] = AutoTokenizer.from_pretrained(found.folder / name, local_files_only=True, trust_remote_code=False)
        files |= _all_files(found.folder / name, name)
    _require(found.folder / "scheduler", ("scheduler_config.json",), "scheduler", found.fetch)
    told = check_scheduler(found.folder / "scheduler" / "scheduler_config.json")
    parts["scheduler"] = family.read_scheduler(told)
    files |= _all_files(found.folder / "scheduler", "scheduler")
    return parts


def _all_files(folder: Path, name: str) -> dict[str, Path]:
    return {f"{name}/{path.name}": path for path in folder.glob("*") if path.is_file()}


def _load_model(
    folder: Path,
    name: str,
    part: ModelPart,
    dtype: torch.dtype,
    files: dict[str, Path],
    fetch: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """One network in safetensors; a folder saved in a half-precision variant (`.fp16.safetensors`) is read too."""
    _require(folder, ("config.json",), name, fetch)
    check_network(folder / "config.json")
    index, plain = f"{part.weights}.safetensors.index.json", f"{part.weights}.safetensors"
    half = f"{part.weights}.fp16.safetensors"
    _require(folder, (plain, half, index), name, fetch)
    variant = "fp16" if not any((folder / file).is_file() for file in (plain, index)) else None
    pieces = sorted(folder.glob(f"{part.weights}-*.safetensors")) if (folder / index).is_file() else []
    if pieces and not variant and not (folder / plain).is_file():
        check_pieces(folder / index, pieces)
    weights = (
        [folder / half] if variant else [folder / plain] if (folder / plain).is_file() else [folder / index, *pieces]
    )
    files |= {f"{name}/{path.name}": path for path in (folder / "config.json", *weights)}
    return part.model_class.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, variant=variant, dtype=dtype, **more
    )


def _load_file(
    found: Located,
    family: Family,
    names: Sequence[str],
    dtypes: Mapping[str, torch.dtype],
    ready: Mapping[str, Any],
    files: dict[str, Path],
) -> dict[str, Any]:
    """Networks out of a single file in the original format; configs come from the folder."""
    import diffusers

    assert found.file is not None
    if not family.file_keys:
        raise ValueError(
            f"{found.file.name}: a {family.pipeline} is not loaded from a single file, which lacks its text encoders; "
            f"give its folder in diffusers format, or its hub id"
        )
    for name in names:
        _require(found.folder / name, ("config.json",), name, found.fetch)
        check_network(found.folder / name / "config.json")
        files[f"{name}/config.json"] = found.folder / name / "config.json"
    files["model.safetensors"] = found.file
    _check_keys(found.file, family, found.folder)
    pipeline_class = getattr(diffusers, family.pipeline)
    others = dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"))
    with quiet_library("diffusers"):
        pipeline = pipeline_class.from_single_file(
            str(found.file), config=str(found.folder), local_files_only=True, dtype=torch.float32, **ready, **others
        )
        return {name: getattr(pipeline, name).to(dtypes[family.models[name].role]) for name in names}


def _check_keys(file: Path, family: Family, folder: Path) -> None:
    """That a file's tensors are of the family whose configs were given. Raises ValueError."""
    with safe_open(file, framework="pt") as tensors:
        keys = list(tensors.keys())
    missing = [prefix for prefix in family.file_keys if not any(key.startswith(prefix) for key in keys)]
    if not missing:
        return
    fitting = [
        other.pipeline
        for other in FAMILIES.values()
        if other.file_keys and all(any(key.startswith(prefix) for key in keys) for prefix in other.file_keys)
    ]
    found = f"it is a file for {fitting[0]}" if fitting else "it is no whole checkpoint of a supported family"
    raise ValueError(
        f"{file.name} has no tensors {missing[0]}*, which a {family.pipeline} (as {folder} has it) needs: {found}"
    )


@contextmanager
def quiet_library(name: str) -> Iterator[None]:
    """Without the library's progress bar and warnings, such as of parts that are left out on purpose."""
    from diffusers.utils import logging as library_logging

    logger = logging.getLogger(name)
    level = logger.level
    library_logging.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        library_logging.enable_progress_bar()


def _require(folder: Path, any_of: Sequence[str], name: str, fetch: str = "") -> None:
    """That a part's folder holds one of these files. Raises FileNotFoundError."""
    if any((folder / file).is_file() for file in any_of):
        return
    what = f"{name}/ is missing" if not folder.is_dir() else f"{name}/ has no {' or '.join(any_of)}"
    hint = ""
    if any(folder.glob("*.bin")):
        hint = " (pickled .bin weights are not loaded: convert them with save_pretrained(..., safe_serialization=True))"
    mend = fetch or "fetch or save the whole pipeline again"
    raise FileNotFoundError(f"model folder {folder.parent}: {what}{hint}; {mend}")
