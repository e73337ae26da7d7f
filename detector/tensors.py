"""Named tensors out of a file that nobody vouches for: `.safetensors`, and torch's `.pth` with `weights_only=True`.

Nothing here unpickles freely, and nothing asks for more memory than the file's own bytes stand for: a torch file is a
zip archive that may claim more than it holds, whose pickle may ask for empty arrays of any size, and whose tensors may
repeat one value without end.
"""

from __future__ import annotations

import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from detector.card import CARD, Card, card_from_json
from detector.compat import load_mmseg
from detector.errors import CheckpointError
from shards.errors import MissingInputError
from shards.guard.json_text import JsonLimits, parse_object
from shards.guard.plain_file import kind_of, open_plain

Tensors = dict[str, torch.Tensor]

MAX_BYTES = 1 << 32
"""Longest file that is read: 4 GiB."""
MAX_TENSORS = 1 << 16
LONGEST_VALUE = 8
HEADER = JsonLimits(1 << 24, 1 << 20, 8)
MAX_PICKLE, MAX_STEPS = 1 << 26, 1 << 20
"""Of the pickle in a torch file: bytes, and instructions. The weights lie beside it; it only names them."""
MAX_TUPLES = 1 << 15
"""Most tuples in it: a deep nest of them overflows the stack of whoever compares it."""
MAX_MEMBERS = 1 << 17
DTYPES = frozenset(
    (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
    )
)
NAMED = frozenset(
    (
        *("collections.OrderedDict", "collections.Counter", "torch.Size", "torch.nn.parameter.Parameter"),
        *("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"),
        *(f"torch.{kind}Storage" for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char")),
        *("torch.ByteStorage", "torch.BoolStorage", "mmengine.logging.history_buffer.HistoryBuffer"),
        *("_codecs.encode", "__builtin__.getattr", "builtins.getattr", "numpy.ndarray", "numpy.dtype", "torch.device"),
        *map(str, DTYPES),
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    )
)
"""What a torch file may name; torch's own list also has ways to ask for memory. `getattr`: see detector.compat."""


def read_tensors(path: str | Path) -> tuple[Tensors, Card | None]:
    """Tensors by name, floats in 32 bits, and the card where the file has one.

    Raises MissingInputError, CheckpointError (no ordinary file, cut, no checkpoint, or a card or values that are not
    read).
    """
    path = Path(path)
    size = check_file(path)
    tensors, card = read_safetensors(path, size) if path.suffix == ".safetensors" else read_torch(path, size)
    check_tensors(path, tensors.values(), size)
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, card


def check_file(path: Path) -> int:
    """Its bytes. Raises MissingInputError, CheckpointError for a folder, FIFO, device, or too many bytes."""
    try:
        kind = kind_of(path)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise MissingInputError(f"checkpoint {path} does not exist; name a .safetensors or .pth file") from error
    if kind != "file":
        raise CheckpointError(f"checkpoint {path} is a {kind}; name a .safetensors or .pth file")
    if size > MAX_BYTES:
        raise CheckpointError(f"{path} has {size} bytes; at most {MAX_BYTES} are read")
    return size


def read_safetensors(path: Path, size: int) -> tuple[Tensors, Card | None]:
    """Tensors and the card. The library checks that the tensors lie within the file."""
    from safetensors import SafetensorError, safe_open

    header = read_header(path, size)
    meta = header.pop("__metadata__", None)
    told = meta.get(CARD) if isinstance(meta, dict) else None
    card = None if told is None else card_from_json(told, path)
    if len(header) > MAX_TENSORS:
        raise CheckpointError(f"{path} holds {len(header)} tensors; at most {MAX_TENSORS} are read")
    if card is not None and size > LONGEST_VALUE * (card.size.values + card.size.spare) + 2 * HEADER.max_bytes:
        raise CheckpointError(f"{path} holds more than the {card.size.values} values that its card tells of")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError, MemoryError) as error:
        raise damaged(path, "no safetensors file", error) from error


def read_header(path: Path, size: int) -> dict[str, Any]:
    """The header of a safetensors file: 8 bytes of its length, then JSON. Raises CheckpointError."""
    with open_plain(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER.max_bytes, size - 8):
            told = f"a header of {length} bytes in a file of {size}" if size >= 8 else f"{size} bytes"
            raise CheckpointError(f"{path} is damaged or no safetensors file ({told}); fetch or make it again")
        return parse_object(file.read(length), f"{path}: its header", limits=HEADER, error=CheckpointError)


def read_torch(path: Path, size: int) -> tuple[Tensors, Card | None]:
    """Tensors of a torch file (bare, or under `state_dict` or `model`), names without `module.`, and the card in its
    `meta`."""
    load_mmseg()  # allows mmengine's own classes by name
    try:
        with open_plain(path) as file:
            check_torch(file, size)
            file.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = shorten(error)
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors, which is not loaded ({reason})"
        ) from error
    except Exception as error:  # torch and its zip reader raise a dozen unrelated types on damaged data
        raise damaged(path, "no checkpoint", error) from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}, not named tensors")
    whole = loaded["model"] if isinstance(loaded.get("model"), dict) else loaded
    inner = loaded.get("state_dict", whole)
    if not isinstance(inner, dict):
        raise CheckpointError(f"{path}: its state_dict is a {type(inner).__name__}, not named tensors")
    named = {k.removeprefix("module."): v for k, v in inner.items() if type(k) is str and is_tensor(v)}
    meta = loaded.get("meta")
    told = meta.get("card") if isinstance(meta, dict) else None
    return {k: v.detach() for k, v in named.items()}, None if told is None else card_from_json(told, path)


def is_tensor(value: Any) -> bool:
    return type(value) in (torch.Tensor, torch.nn.Parameter)


def check_tensors(path: Path, tensors: Iterable[torch.Tensor], size: int) -> None:
    """Raise CheckpointError for no tensors, for kinds of them that no model here has, and for values without bytes."""
    total, count = 0, 0
    for tensor in tensors:
        count += 1
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
            raise CheckpointError(f"{path} holds a tensor of {tensor.dtype} ({tensor.layout}), which is not read")
        total += tensor.numel() * tensor.element_size()
    if not count or count > MAX_TENSORS:
        raise CheckpointError(f"{path} holds {count or 'no'} tensors by name; 1..{MAX_TENSORS} are read")
    if total > size:
        raise CheckpointError(
            f"{path}: its tensors claim {total} bytes, the file has {size}: they repeat values; save them contiguous"
        )


def check_torch(file: BinaryIO, size: int) -> None:
    """Look at a torch file before torch does. Raises UnpicklingError, ValueError, and what `zipfile` raises."""
    if file.read(4) != b"PK\3\4":  # torch's format before 1.6: five pickles, then the values
        file.seek(0)
        for _ in range(5):
            check_pickle(file)
        return
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise ValueError(f"an archive of {len(members)} members; at most {MAX_MEMBERS} are read")
        if any(one.compress_type != zipfile.ZIP_STORED or one.file_size != one.compress_size for one in members):
            raise ValueError("a compressed archive, which torch does not write")
        if sum(one.file_size for one in members) > size:
            raise ValueError("an archive whose members claim more bytes than it has")
        for one in members:
            if one.filename.lower().endswith("data.pkl"):  # torch finds it in any case
                if one.file_size > MAX_PICKLE:
                    raise ValueError(f"a pickle of {one.file_size} bytes; at most {MAX_PICKLE} are read")
                with archive.open(one) as inner:
                    check_pickle(inner)  # type: ignore[arg-type]


def check_pickle(file: BinaryIO) -> None:
    """Raise UnpicklingError for a pickle that names anything outside of NAMED, or is too long."""
    tuples = 0
    for step, (code, argument, _) in enumerate(pickletools.genops(file)):
        tuples += code.name.startswith("TUPLE")
        if step > MAX_STEPS or tuples > MAX_TUPLES:
            raise pickle.UnpicklingError(f"a pickle of more than {MAX_STEPS} instructions or {MAX_TUPLES} tuples")
        if code.name in ("GLOBAL", "INST") and ".".join(str(argument).split(" ")) not in NAMED:
            raise pickle.UnpicklingError(f"it names {str(argument)[:80]!r}, which no tensor needs")
        if code.name == "STACK_GLOBAL":
            raise pickle.UnpicklingError("it makes up names as it is read")


def damaged(path: Path, other: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or {other} ({shorten(error)}); fetch or make it again")


def shorten(error: Exception) -> str:
    """The first line of its message; some messages show what was read, however deep, and then fail themselves."""
    try:
        text = str(error)
    except Exception:  # whatever showing a foreign object raises
        text = ""
    return (text.strip().split("\n")[0] or type(error).__name__)[:200]
