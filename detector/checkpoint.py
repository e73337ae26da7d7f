"""Weights on disk: reading them safely, writing them whole, and fitting them to a model or saying why they do not.

A file of ours is `.safetensors` with the detector's card in its metadata, so that it says itself what to build. States
(`.pth`) are read by torch with `weights_only=True`; nothing here unpickles.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from detector.compat import load_mmseg, quiet
from detector.errors import CheckpointError
from shards.build import BuildError, build, plain
from shards.errors import MissingInputError
from shards.files import hash_file, make_folder, write_bytes

Tensors = dict[str, torch.Tensor]
CARD = "blemish.detector"
TYPES = frozenset(
    (
        *(
            "EncoderDecoder",
            "SegDataPreProcessor",
            "SwinTransformer",
            "HubBackbone",
            "TraceBackbone",
            "UPerHead",
            "FCNHead",
        ),
        *("CrossEntropyLoss", "BN", "SyncBN", "LN", "GELU", "ReLU"),
    )
)
"""What a model in a file may be built from: mmengine imports whatever a `type` names, so a file must not choose."""


@dataclass(frozen=True)
class Card:
    """What a file of weights is."""

    model: dict[str, Any]
    """The config that mmseg's registry builds the model from."""
    image_size: int
    """Side in pixels that pictures are brought to before they are looked at."""
    classes: tuple[str, ...]
    """Names of the labels 0, 1, .."""
    iterations: int = 0
    seed: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else is known, such as the score that chose the weights."""

    def __post_init__(self) -> None:
        if self.image_size < 8:
            raise ValueError(f"image_size must be at least 8, got {self.image_size}")
        check_types(self.model)

    def to_json(self) -> str:
        return json.dumps(plain(self), sort_keys=True)


def check_types(value: Any) -> None:
    """Raise ValueError where a model config, at any depth, names a type outside TYPES or a download."""
    if isinstance(value, Mapping):
        kind = value.get("type", "BN")
        if kind not in TYPES:
            raise ValueError(
                f"model type {kind!r} is not allowed in a checkpoint; allowed are {', '.join(sorted(TYPES))}"
            )
        if value.get("init_cfg") or value.get("pretrained"):
            raise ValueError("a model config must not name other checkpoints (init_cfg, pretrained); use `initialise`")
        for inner in value.values():
            check_types(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            check_types(inner)


def card_from_json(text: str, path: Path) -> Card:
    """Raises CheckpointError for a card that is damaged or names other types than TYPES."""
    try:
        return build(Card, json.loads(text))
    except (ValueError, BuildError) as error:
        raise CheckpointError(f"{path}: its card cannot be used ({error})") from error


def build_model(card: Card) -> Any:
    """An mmseg EncoderDecoder in evaluation mode with random weights, normalisation for one process."""
    load_mmseg()
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    from detector import hub_backbone, trace_backbone  # noqa: F401  register themselves

    with DefaultScope.overwrite_default_scope("mmseg"), quiet():
        return revert_sync_batchnorm(MODELS.build(plain(card.model))).eval()


def save_weights(path: Path, model: Any, card: Card, *, half: bool = False) -> None:
    """Write the model's tensors and the card whole. `half` stores floats in 16 bits. Raises OutputError."""
    write_tensors(path, model.state_dict(), card, half=half)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], card: Card, *, half: bool = False) -> None:
    """As `save_weights`, from tensors."""
    from safetensors.torch import save

    stored = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    if half:
        stored = {name: t.half() if t.is_floating_point() else t for name, t in stored.items()}
    make_folder(path.parent)
    write_bytes(path, in_order(save(stored, {"format": "pt", CARD: card.to_json()})))


def in_order(data: bytes) -> bytes:
    """A safetensors file with its header's keys sorted: the library writes metadata in an order that changes by call.

    The header is 8 bytes of length and JSON, filled up with blanks so that the tensors begin at a multiple of 8.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[end:]


def read_tensors(path: str | Path) -> tuple[Tensors, Card | None]:
    """The tensors of a `.safetensors` or torch file by name, floats in 32 bits, and its card where it has one.

    Raises MissingInputError, CheckpointError (truncated, no checkpoint, or objects that the safe loader refuses).
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"checkpoint {path} does not exist; name a .safetensors or .pth file")
    tensors, text = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return floats, None if text is None else card_from_json(text, path)


def read_safetensors(path: Path) -> tuple[Tensors, str | None]:
    """Tensors and the text of the card."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, (file.metadata() or {}).get(CARD)  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}); fetch or make it again") from error


def read_torch(path: Path) -> tuple[Tensors, str | None]:
    """Tensors of a torch file (bare, or under `state_dict`), names without `module.`, and the text of the card."""
    load_mmseg()  # allows mmengine's own classes by name
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("\n")[0][:200]
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors, which is not loaded ({reason})"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).split("\n")[0][:200]
        raise CheckpointError(f"{path} is damaged or no checkpoint ({reason}); fetch or make it again") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}, not named tensors")
    tensors = loaded.get("state_dict", loaded)
    named = {str(k).removeprefix("module."): v for k, v in tensors.items() if isinstance(v, torch.Tensor)}
    if not named:
        raise CheckpointError(f"{path} holds no tensors by name")
    meta = loaded.get("meta")
    return named, meta.get("card") if isinstance(meta, dict) else None


def fit(model: Any, tensors: Tensors, path: str | Path) -> None:
    """Load all of a model's tensors. Raises CheckpointError naming what does not fit."""
    wanted = model.state_dict()
    # An index that follows from the window size; older files store it, newer ones do not.
    optional = {name for name in wanted if name.endswith("relative_position_index")}
    missing = [name for name in wanted if name not in tensors and name not in optional]
    foreign = [name for name in tensors if name not in wanted]
    wrong = [n for n, t in tensors.items() if n in wanted and wanted[n].shape != t.shape]
    if missing or foreign or wrong:
        told = [f"{len(missing)} missing (such as {missing[0]})"] if missing else []
        told += [f"{len(foreign)} unknown (such as {foreign[0]})"] if foreign else []
        if wrong:
            sizes = f"{tuple(tensors[wrong[0]].shape)} there, {tuple(wanted[wrong[0]].shape)} in the model"
            told.append(f"{len(wrong)} of another size ({wrong[0]}: {sizes})")
        raise CheckpointError(f"{path} belongs to another architecture: {'; '.join(told)}")
    model.load_state_dict(tensors, strict=False)


def load_detector(path: str | Path, card: Card | None = None) -> tuple[Any, Card]:
    """The model of a checkpoint, ready to look at pictures, and its card; `card` says what to build for a foreign file.

    Raises MissingInputError, CheckpointError.
    """
    tensors, own = read_tensors(path)
    card = card or own
    if card is None:
        raise CheckpointError(f"{path} does not say what model it is; name its config with --config")
    model = build_model(card)
    fit(model, tensors, path)
    return model, card


def fingerprint(path: str | Path) -> str:
    """sha256 of the file."""
    return hash_file(Path(path))
