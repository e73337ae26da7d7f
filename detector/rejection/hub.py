"""Bare segmenters: a folder as transformers writes it, a hub id, or a file of ours; and detectors made of them.

A folder comes from outside. Its config is read as plain data and brought to the closed form of a card before anything
is built, and its weights are safetensors in one file; nothing else of it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.card import Card, num_contents
from detector.checkpoint import fitted
from detector.compat import quiet
from detector.errors import CheckpointError
from detector.forms import Form
from detector.rejection.form import BACKBONES, DETR, SEGMENTERS
from detector.rejection.names import PIXEL_SCORES, SCORES
from detector.rejection.network import DECODER, count_values, network_class, network_config
from detector.tensors import MAX_BYTES, Tensors, check_file, read_header, read_tensors
from shards.build import plain
from shards.config import INSTALLED
from shards.errors import ConfigError, MissingInputError
from shards.files import hash_file
from shards.guard.json_text import JsonLimits, read_object

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
FILES = (CONFIG, WEIGHTS, PREPROCESSOR)
LIMITS = JsonLimits(1 << 22, 1 << 18, 16)
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
SHORT_SIDE = 640
"""Of pictures where a folder's preprocessor says nothing (Yin 2026, section 4.1)."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREFIX = "network."


def find_segmenter(source: str, revision: str = "main") -> Path:
    """A file of ours or a folder; beside the installed packages too, or fetched. Raises MissingInputError."""
    for candidate in (Path(source), INSTALLED / source):
        if candidate.exists():
            return candidate
    if HUB_ID.fullmatch(source) and not source.endswith((".pth", ".safetensors")):
        return from_hub(source, revision)
    raise MissingInputError(f"segmenter {source} does not exist; name a folder, a .safetensors file, or a hub id")


def from_hub(name: str, revision: str) -> Path:
    """The folder of a hub id at a revision, from this machine's cache or fetched. Raises MissingInputError."""
    from huggingface_hub import snapshot_download

    reason = ""
    for local in (True, False):
        try:
            found = snapshot_download(name, revision=revision, allow_patterns=list(FILES), local_files_only=local)
            if (Path(found) / WEIGHTS).is_file():
                return Path(found)
            reason = f"it has no {WEIGHTS}; name a revision that has"
        except Exception as error:  # the hub raises its own, the network's and the system's errors
            reason = type(error).__name__
    raise MissingInputError(
        f"segmenter {name} is not on this machine and could not be fetched ({reason}); on a machine with a network "
        f"run `hf download {name} --revision {revision} {' '.join(FILES)}`"
    )


def read_segmenter(path: Path) -> tuple[Tensors, Card]:
    """The weights by our names and what they are: a MaskSegmenter, or a network that classifies each pixel.

    Raises MissingInputError, CheckpointError.
    """
    if path.is_dir():
        card, is_short = read_folder(path)
        return read_weights(path, card), replace(card, facts={"short_side": is_short})
    tensors, found = read_tensors(path)
    if found is None:
        raise CheckpointError(f"{path} does not say what model it is; name a folder of transformers or weights of ours")
    return tensors, found


def read_folder(path: Path) -> tuple[Card, bool]:
    """The card of a folder of transformers, and whether its short side is what `image_size` counts."""
    config = read_object(path / CONFIG, limits=LIMITS, error=CheckpointError)
    network = network_of(config, path)
    names = config.get("id2label", {})
    if not isinstance(names, dict):
        raise CheckpointError(f"{path / CONFIG}: id2label is no list of names; fetch or make it again")
    classes = tuple(str(names.get(str(i), i))[:200] for i in range(network["num_classes"]))
    told = read_object(path / PREPROCESSOR, limits=LIMITS, error=CheckpointError) if has(path, PREPROCESSOR) else {}
    side, is_short = side_of(told.get("size"))
    model = {"type": "MaskSegmenter", "data_preprocessor": norm_of(told, path), "network": network}
    try:
        return Card({**model, "keep_ratio": is_short}, side, classes), is_short
    except ValueError as error:
        raise CheckpointError(f"{path / CONFIG} cannot be used ({error})") from error


def has(path: Path, name: str) -> bool:
    return (path / name).is_file()


def network_of(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """transformers' config -> the form of detector.rejection.form, what it leaves out as transformers' defaults."""
    kind, spine = config.get("model_type"), config.get("backbone_config")
    if not isinstance(kind, str) or kind not in SEGMENTERS:
        needed = " or ".join(SEGMENTERS)
        raise CheckpointError(
            f"{path} holds {str(kind)[:60]!r}, which is not known here to have queries; needed: {needed}"
        )
    spine = spine if isinstance(spine, dict) else {}
    named = spine.get("model_type")
    named = "swin" if named == "maskformer-swin" else named  # as transformers writes a MaskFormer's
    if not isinstance(named, str) or named not in BACKBONES:
        needed = " or ".join(BACKBONES)
        raise CheckpointError(f"{path / CONFIG}: a backbone of {str(named)[:60]!r} is not known here; needed: {needed}")
    labels = config.get("id2label", config.get("num_labels"))
    number = len(labels) if isinstance(labels, dict) else labels
    if type(number) is not int:
        raise CheckpointError(f"{path / CONFIG} names no classes (id2label); fetch or make it again")
    return {
        "model_type": kind,
        "num_classes": number,
        "options": options_of(SEGMENTERS[kind], config),
        "backbone": {"model_type": named, "options": options_of(BACKBONES[named], spine)},
    }


def options_of(form: Form, config: dict[str, Any]) -> dict[str, Any]:
    """What a form knows of a config; a MaskFormer's decoder with it."""
    found = {name: config[name] for name in (*form.needed, *form.known) if name in config}
    if isinstance(found.get(DECODER), dict):
        found[DECODER] = options_of(DETR, found[DECODER])
    return found


def side_of(size: Any) -> tuple[int, bool]:
    """The side that pictures are brought to, and whether it is the short one of a picture that keeps its ratio."""
    if isinstance(size, dict) and type(size.get("height")) is int and size.get("height") == size.get("width"):
        return size["height"], False
    short = size.get("shortest_edge") if isinstance(size, dict) else size
    return (short if type(short) is int else SHORT_SIDE), True


def norm_of(told: dict[str, Any], path: Path) -> dict[str, Any]:
    """The config of the preprocessor: mean and deviation of pixels 0..255."""
    try:
        scale = float(told.get("rescale_factor", 1 / 255))
        mean = [float(v) / scale for v in told.get("image_mean", MEAN)]
        std = [float(v) / scale for v in told.get("image_std", STD)]
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path / PREPROCESSOR}: mean and deviation are no numbers; make it again") from error
    return {"type": "SegDataPreProcessor", "mean": mean, "std": std, "bgr_to_rgb": False}


def read_weights(path: Path, card: Card) -> Tensors:
    """Of a folder, by our names. Raises MissingInputError, CheckpointError for another architecture than its config."""
    import torch

    network = card.model["network"]
    file = path / WEIGHTS
    size = check_file(file)
    check_head(file, size, network["num_classes"])
    if count_values(network) > size:
        raise CheckpointError(f"{path} belongs to another architecture: its weights have fewer values than its config")
    how = {"use_safetensors": True, "local_files_only": True, "dtype": torch.float32, "output_loading_info": True}
    how |= {"ignore_mismatched_sizes": True}  # they are told, and refused below in one line
    try:
        with quiet(), no_bar():
            model, told = network_class(network).from_pretrained(path, config=network_config(network), **how)
    except Exception as error:  # transformers and safetensors raise a dozen unrelated types on what does not fit
        reason = (str(error).strip().split("\n")[0] or type(error).__name__)[:200]
        raise CheckpointError(f"{path} cannot be loaded ({reason}); fetch or make it again") from error
    missing = [name for name in told["missing_keys"] if not name.endswith("relative_position_index")]
    if missing or told["mismatched_keys"]:
        first = (missing or [one[0] for one in told["mismatched_keys"]])[0]
        raise CheckpointError(f"{path} belongs to another architecture: {first} is missing or of another size")
    return {PREFIX + name: tensor.detach() for name, tensor in model.state_dict().items()}


@contextmanager
def no_bar() -> Iterator[None]:
    """Without transformers' bar, which is over at once."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_head(file: Path, size: int, classes: int) -> None:
    """The class head tells the classes and "no object" apart. Raises CheckpointError."""
    if size > MAX_BYTES:
        raise CheckpointError(f"{file} has {size} bytes; at most {MAX_BYTES} are read")
    shape = read_header(file, size).get("class_predictor.weight", {}).get("shape", [])
    rows = shape[0] if isinstance(shape, list) and shape else None
    if rows == classes:
        raise CheckpointError(f"{file}: its class head has {rows} rows for {classes} classes: there is no 'no object'")
    if rows != classes + 1:
        raise CheckpointError(
            f"{file}: its class head has {rows} rows; {classes} classes and 'no object' need one each"
        )


def rejector(card: Card, score: str, valid: tuple[int, ...] = (), boundary: int = 0) -> Card:
    """The detector that a segmenter is with this score. Raises ConfigError for a score that it does not have."""
    kind = card.model["type"]
    if kind not in ("MaskSegmenter", "EncoderDecoder") or num_contents(card.model) < 2:
        raise ConfigError("a score needs a segmenter of valid content; this is a detector already: leave --score out")
    allowed = SCORES if kind == "MaskSegmenter" else PIXEL_SCORES
    if score not in allowed:
        raise ConfigError(f"score {score[:60]!r} is not one of this network's; allowed: {', '.join(allowed)}")
    model: dict[str, Any] = {
        **plain(card.model),
        "type": "MaskRejector" if kind == "MaskSegmenter" else "PixelRejector",
    }
    model |= {"score": score, **({"valid_classes": list(valid)} if valid else {})}
    if boundary and kind != "MaskSegmenter":
        raise ConfigError(f"boundary is {boundary}; a network that classifies each pixel has 0: leave --boundary out")
    model |= {"boundary": boundary} if boundary else {}
    try:
        return Card(model, card.image_size, ("clean", "artifact"), card.iterations, card.seed, card.facts)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def load_segmenter(
    source: str | Path, score: str, valid: tuple[int, ...] = (), revision: str = "main", boundary: int = 0
) -> tuple[Any, Card]:
    """A segmenter as a detector, ready to look at pictures, and its card.

    Raises MissingInputError, CheckpointError, ConfigError.
    """
    path = find_segmenter(str(source), revision)
    tensors, found = read_segmenter(path)
    card = rejector(found, score, valid, boundary)
    return fitted(card, tensors, path), card


def fingerprint_of(path: Path) -> str:
    """sha256 of a file, or of what is read of a folder, joined."""
    if not path.is_dir():
        return hash_file(path)
    return "-".join(hash_file(path / name) for name in FILES if has(path, name))
