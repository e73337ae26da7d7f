"""Weights on disk: reading them safely, writing them whole, and fitting them to a model or saying why they do not.

A file of ours is `.safetensors` with the detector's card in its metadata, so that it says itself what to build.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from detector.card import CARD, Card
from detector.compat import load_mmseg, quiet
from detector.errors import CheckpointError
from detector.tensors import Tensors, read_tensors
from shards.build import plain
from shards.files import hash_file, make_folder, write_bytes

INDEX = "relative_position_index"


def build_model(card: Card) -> Any:
    """An mmseg EncoderDecoder in evaluation mode with random weights, normalisation for one process."""
    load_mmseg()
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    from detector import hub_backbone, trace_backbone  # noqa: F401  register themselves
    from detector.rejection import rejector  # noqa: F401

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


def fit(model: Any, tensors: Tensors, path: str | Path) -> None:
    """Load all of a model's tensors. Raises CheckpointError naming what does not fit."""
    wanted = model.state_dict()
    # An index that follows from the window size; older files store it, newer ones do not. One of a file's own making
    # would point anywhere.
    optional = {name for name in wanted if name.endswith(INDEX)}
    changed = [name for name in optional if name in tensors and not torch.equal(tensors[name], wanted[name])]
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
    if changed:
        raise CheckpointError(f"{path} is damaged: {changed[0]} is not what follows from the window size")
    model.load_state_dict(tensors, strict=False)


def load_detector(path: str | Path, card: Card | None = None) -> tuple[Any, Card]:
    """The model of a checkpoint, ready to look at pictures, and its card; `card` says what to build for a foreign file.

    Raises MissingInputError, CheckpointError (also for weights that are not finite numbers).
    """
    tensors, own = read_tensors(path)
    card = card or own
    if card is None:
        raise CheckpointError(f"{path} does not say what model it is; name its config with --config")
    model = fitted(card, tensors, path)
    return model, card


def fitted(card: Card, tensors: Tensors, path: str | Path) -> Any:
    """The card's model with these tensors. Raises CheckpointError, before it builds more than the file can fill."""
    have = sum(tensor.numel() for tensor in tensors.values())
    if card.size.values > have:
        raise CheckpointError(
            f"{path} belongs to another architecture: its card tells of {card.size.values} values, it holds {have}"
        )
    wrong = next((name for name, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()), None)
    if wrong is not None:
        raise CheckpointError(f"{path}: {wrong} holds values that are no finite numbers; its training diverged")
    model = build_model(card)
    fit(model, tensors, path)
    return model


def fingerprint(path: str | Path) -> str:
    """sha256 of the file."""
    return hash_file(Path(path))
