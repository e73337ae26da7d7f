"""A segmenter as a folder that transformers reads, and so do we (detector.rejection.hub)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

from detector.card import Card
from detector.compat import quiet
from detector.rejection.hub import CONFIG, FILES, PREFIX, PREPROCESSOR, WEIGHTS, no_bar
from detector.rejection.network import build_network
from detector.tensors import Tensors
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes


def write_folder(out: Path, card: Card, tensors: Tensors, half: bool = False) -> str:
    """Write config, weights and preprocessor to `out`; returns a line about it. `half` stores floats in 16 bits.

    Raises ConfigError where the model is no network of queries, OutputError.
    """
    network = card.model.get("network")
    if network is None:
        raise ConfigError(f"--out {out} must end in .safetensors: only a network of queries is written as a folder")
    model = build_network(network)
    own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    model.load_state_dict(own)
    model.config.id2label = dict(enumerate(card.classes)) if len(card.classes) == network["num_classes"] else {}
    model.config.label2id = {name: place for place, name in model.config.id2label.items()}
    if half:
        model = model.to(torch.float16)
    make_folder(out)
    with tempfile.TemporaryDirectory() as scratch, quiet(), no_bar():
        model.save_pretrained(scratch, safe_serialization=True)
        for name in (CONFIG, WEIGHTS):
            write_bytes(out / name, (Path(scratch) / name).read_bytes())
    write_bytes(out / PREPROCESSOR, (json.dumps(preprocessor(card), indent=2) + "\n").encode())
    size = sum((out / name).stat().st_size for name in FILES)
    return f"{out}: {len(own)} tensors, {size / 1e6:.1f} MB"


def preprocessor(card: Card) -> dict[str, object]:
    """What transformers' image processor would be built from."""
    norm = card.model["data_preprocessor"]
    side = card.image_size
    short = {"shortest_edge": side, "longest_edge": 4 * side}
    return {
        "image_processor_type": "Mask2FormerImageProcessor",
        "do_resize": True,
        "size": short if card.model.get("keep_ratio") else {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [round(value / 255, 6) for value in norm["mean"]],
        "image_std": [round(value / 255, 6) for value in norm["std"]],
    }
