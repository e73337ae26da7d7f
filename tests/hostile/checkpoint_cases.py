"""Files of weights as a stranger would make them: cards, headers and archives that are not what they say."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from detector.card import CARD
from detector.tensors import read_tensors

GOOD = Path(__file__).parents[2] / "region_select/weights/swin_mini.safetensors"


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.mark), "w"))


def good() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors, card = read_tensors(GOOD)
    assert card is not None
    return tensors, json.loads(card.to_json())


def with_card(tensors: dict[str, torch.Tensor], card: Any) -> bytes:
    """A safetensors file; the card as text, or as a value that becomes JSON."""
    return save(tensors, {"format": "pt", CARD: card if isinstance(card, str) else json.dumps(card)})


def torch_bytes(value: Any) -> bytes:
    data = io.BytesIO()
    torch.save(value, data)
    return data.getvalue()


def set_at(card: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one value changed."""
    changed = copy.deepcopy(card)
    place = changed
    *holders, last = path.split(".")
    for name in holders:
        place = place[name]
    place[last] = value
    return changed


BACKBONE, HEAD, TYPE = "model.backbone", "model.decode_head", "CrossEntropyLoss"
NET = {"hidden_sizes": [8], "depths": [1]}


def hub(options: dict[str, Any], kind: str = "convnext") -> dict[str, Any]:
    return {"type": "HubBackbone", "model_type": kind, "options": options}


CARDS: dict[str, tuple[str, Any, str]] = {
    "weight of a path": (f"{HEAD}.loss_decode", {"type": TYPE, "class_weight": "evil.pkl"}, "class_weight"),
    "weight of an address": (f"{HEAD}.class_weight", "http://127.0.0.1:9/evil.pkl", "takes no 'class_weight'"),
    "scope": (f"{BACKBONE}._scope_", "evil", "takes no '_scope_'"),
    "init_cfg": (f"{BACKBONE}.init_cfg", {"type": "Pretrained", "checkpoint": "evil.pth"}, "init_cfg must be empty"),
    "pretrained": ("model.pretrained", "evil.pth", "pretrained must be empty"),
    "dotted type": (f"{BACKBONE}.type", "os.system", "'os.system' is not allowed"),
    "type of a dict": (f"{BACKBONE}.type", {}, "is not allowed"),
    "no type": (HEAD, {}, "None is not allowed"),
    "norm": (f"{HEAD}.norm_cfg", {"type": "evil.Norm"}, "'evil.Norm' is not allowed"),
    "unknown argument": ("model.nonsense", 1, "takes no 'nonsense'"),
    "missing argument": (BACKBONE, None, "group of named values"),
    "image size": ("image_size", 100_000, "image_size must be in 8..4096"),
    "image size and memory": ("image_size", 4096, "a layer computes"),
    "big number": ("image_size", 1 << 60, "image_size must be in"),
    "text for a number": (f"{BACKBONE}.depths", "2222", "depths must be a list"),
    "true for a number": (f"{BACKBONE}.embed_dims", True, "embed_dims must be a whole number"),
    "depths": (f"{BACKBONE}.depths", [2, 2, 10**9, 2], "depths[2] must be a whole number"),
    "deep": (f"{BACKBONE}.depths", [2, 2, 64, 2], "another architecture"),
    "wide": (f"{BACKBONE}.embed_dims", 4096, "maps of"),
    "wide heads": (f"{HEAD}.channels", 4096, "the model has"),
    "classes": ("classes", ["clean"] * 3, "3 names of classes"),
    "hub attribute": (BACKBONE, hub({"__class__": "x"}), "takes no '__class__'"),
    "hub timm": (BACKBONE, hub({}, "timm_backbone"), "model_type must be"),
    "hub download": (BACKBONE, hub({**NET, "use_pretrained_backbone": True}), "use_pretrained_backbone"),
    "iterations": ("iterations", 1.5, "iterations must be int"),
}
"""Place in a good card, what stands there, and what the line says."""


def bomb() -> bytes:
    """A torch file whose storage is deflated: 64 MB of zeros in a few KB."""
    data = io.BytesIO()
    stored = io.BytesIO(torch_bytes({"w": torch.zeros(1 << 24)}))
    with zipfile.ZipFile(stored) as plain, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    return data.getvalue()


def pickled(function: Any, *arguments: Any) -> bytes:
    """A torch file whose pickle calls `function`."""

    class Call:
        def __reduce__(self) -> tuple[Any, ...]:
            return (function, arguments)

    data = io.BytesIO(torch_bytes({"w": torch.zeros(1)}))
    changed = io.BytesIO()
    with zipfile.ZipFile(data) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickle.dumps(Call(), 2) if name.endswith("data.pkl") else old.read(name))
    return changed.getvalue()


def nested_tuples(depth: int) -> bytes:
    data = io.BytesIO(torch_bytes({"w": torch.zeros(1)}))
    changed = io.BytesIO()
    with zipfile.ZipFile(data) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            # A dict with a key of nested tuples, whose hash recurses in C.
            deep = b"\x80\x02}(" + b")" + b"\x85" * depth + b"K\x01u."
            new.writestr(name, deep if name.endswith("data.pkl") else old.read(name))
    return changed.getvalue()


SMALL = {"w": torch.zeros(1)}
TORCH: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "code": (lambda folder: torch_bytes({"state_dict": SMALL, "meta": Attack(folder / "CANARY")}), "names"),
    "expanded": (lambda _: torch_bytes({"w": torch.zeros(1).expand(60_000, 60_000)}), "its tensors claim"),
    "one storage many times": (lambda _: torch_bytes({str(i): ONE for i in range(200)}), "its tensors claim"),
    "card of a number": (lambda _: torch_bytes({"state_dict": SMALL, "meta": {"card": 7}}), "its card is int 7"),
    "state of a list": (lambda _: torch_bytes({"state_dict": [torch.zeros(1)]}), "its state_dict is a list"),
    "a list": (lambda _: torch_bytes([torch.zeros(1)]), "holds a list"),
    "no tensor": (lambda _: torch_bytes({"w": 1}), "holds no tensors"),
    "sparse": (lambda _: torch_bytes({"w": torch.eye(3).to_sparse()}), "names"),
    "deflated": (lambda _: bomb(), "compressed"),
    "bytearray": (lambda _: pickled(bytearray, 1 << 33), "names"),
    "set": (lambda _: pickled(set, []), "names"),
    "nested": (lambda _: nested_tuples(300_000), "instructions"),
    "half": (lambda _: torch_bytes({"w": torch.zeros(9)})[:200], "damaged"),
    "empty": (lambda _: b"", "damaged"),
    "old format, code": (lambda folder: pickle.dumps(Attack(folder / "CANARY"), 2), "names"),
    "not finite": (lambda _: torch_bytes(spoilt()), "no finite numbers"),
}  # fmt: skip
ONE = torch.zeros(1000)


def spoilt() -> dict[str, Any]:
    """The good weights with one NaN, as a state."""
    tensors, card = good()
    name = next(iter(tensors))
    tensors[name].view(-1)[0] = float("nan")
    return {"state_dict": tensors, "meta": {"card": json.dumps(card)}}


def header_length(data: bytes, length: int) -> bytes:
    return length.to_bytes(8, "little") + data[8:]


def sparse_file(path: Path, size: int) -> None:
    """A safetensors file that claims, and has, `size` bytes of zeros that take no disk."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)


def noise(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()
