"""The weights of a TorchScript archive without its program.

`torch.jit.load` runs what a file says. The weights lie beside the program: `data.pkl` is a tree of objects whose
attributes are tensors by name, `data/N` are their values. Here the few instructions of that pickle that torch writes
are followed by hand into plain dictionaries: no name in it is imported, nothing is called, `code/` is not opened.

What a tree may hold is bounded by the file: its pickle's length, the objects walked, and the tensors' bytes.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from detector.errors import CheckpointError
from detector.tensors import (
    MAX_MEMBERS,
    MAX_PICKLE,
    MAX_STEPS,
    MAX_TENSORS,
    Tensors,
    check_file,
    check_tensors,
    shorten,
)
from shards.guard.plain_file import open_plain

STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
REBUILD = "torch._utils._rebuild_tensor_v2"
DEEPEST = 64
MOST_AXES = 8


@dataclass
class Named:
    """Something the pickle names: a class, a function, or what one would have made. Its attributes alone are kept."""

    name: str
    state: Any = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """Where a tensor's numbers lie: a member `data/KEY` of `count` numbers."""

    dtype: torch.dtype
    key: str
    count: int


@dataclass(frozen=True)
class Placed:
    """A tensor that has not been read: a view of numbers."""

    values: Values
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_script(path: Path) -> Tensors:
    """Tensors by dotted name, floats in 32 bits.

    Raises MissingInputError, CheckpointError (no TorchScript archive, a damaged one, or one whose weights were frozen
    into its program and have no names).
    """
    size = check_file(path)
    try:
        with open_plain(path) as file:
            found = read_archive(file, size)
    except CheckpointError:
        raise
    except Exception as error:  # zipfile and pickletools raise a dozen unrelated types on damaged data
        raise CheckpointError(
            f"{path} is damaged or no TorchScript archive ({shorten(error)}); fetch or make it again"
        ) from error
    if not found:
        raise CheckpointError(
            f"{path} is a TorchScript archive without weights by name (frozen); save it without torch.jit.freeze"
        )
    check_tensors(path, found.values(), size)
    return {name: t.float() if t.is_floating_point() else t for name, t in found.items()}


def read_archive(file: BinaryIO, size: int) -> Tensors:
    """Raises ValueError, and what `zipfile` and `pickletools` raise."""
    with zipfile.ZipFile(file) as archive:
        members = {one.filename: one for one in archive.infolist()}
        if len(members) > MAX_MEMBERS:
            raise ValueError(f"an archive of {len(members)} members; at most {MAX_MEMBERS} are read")
        tops = [
            name.removesuffix("/data.pkl") for name in members if name.count("/") == 1 and name.endswith("/data.pkl")
        ]
        if len(tops) != 1 or f"{tops[0]}/constants.pkl" not in members:
            raise ValueError("it has no data.pkl and constants.pkl")
        top = tops[0]
        if f"{top}/byteorder" in members and read_member(archive, members[f"{top}/byteorder"], 16) != b"little":
            raise ValueError("its numbers are big-endian")
        tree = follow(read_member(archive, members[f"{top}/data.pkl"], MAX_PICKLE))
        placed = dict(named_tensors(tree))
        if sum(math.prod(one.shape) * one.values.dtype.itemsize for one in placed.values()) > size:
            raise ValueError("its tensors claim more bytes than it has")
        stored: dict[Values, torch.Tensor] = {}
        left = size
        for values in dict.fromkeys(one.values for one in placed.values()):
            data = read_member(archive, members[f"{top}/data/{values.key}"], left)
            left -= len(data)
            stored[values] = numbers(data, values)
    return {name: view(one, stored[one.values]) for name, one in placed.items()}


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """Raises ValueError for a compressed member, or one of more than `most` bytes."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{member.filename[:60]!r} is compressed, which torch does not do")
    if member.file_size > most:
        raise ValueError(f"{member.filename[:60]!r} has {member.file_size} bytes; at most {most} are read")
    return archive.read(member)


def numbers(data: bytes, values: Values) -> torch.Tensor:
    """A flat tensor of the member's bytes. Raises ValueError where it is shorter than it should be."""
    if len(data) < values.count * values.dtype.itemsize:
        raise ValueError(f"data/{values.key[:20]} has {len(data)} bytes for {values.count} numbers")
    if not values.count:
        return torch.empty(0, dtype=values.dtype)
    return torch.frombuffer(bytearray(data), dtype=values.dtype, count=values.count)


def view(placed: Placed, stored: torch.Tensor) -> torch.Tensor:
    """The tensor by itself. Raises ValueError where it reaches out of its numbers."""
    reach = placed.offset + sum((n - 1) * step for n, step in zip(placed.shape, placed.strides, strict=True))
    if math.prod(placed.shape) and reach >= len(stored):
        raise ValueError(f"a tensor of {placed.shape} reaches out of its {len(stored)} numbers")
    return stored.as_strided(placed.shape, placed.strides, placed.offset).contiguous()


def named_tensors(tree: Any) -> Iterator[tuple[str, Placed]]:
    """Dotted names of the tensors below an object. Raises ValueError for a tree that is too deep or too large."""
    queue: list[tuple[str, int, Any]] = [("", 0, tree)]
    walked = found = 0
    while queue:
        prefix, depth, one = queue.pop()
        walked += 1
        if depth > DEEPEST or walked > MAX_STEPS:
            raise ValueError(f"a tree of more than {DEEPEST} levels or {MAX_STEPS} objects")
        if isinstance(one, Placed):
            found += 1
            if found > MAX_TENSORS:
                raise ValueError(f"more than {MAX_TENSORS} tensors")
            yield prefix, one
        elif isinstance(one, Named) and isinstance(one.state, dict):
            named = [(name, value) for name, value in one.state.items() if isinstance(name, str)]
            queue += [(f"{prefix}.{name}" if prefix else name, depth + 1, value) for name, value in named]


def follow(data: bytes) -> Any:
    """What a pickle of TorchScript describes: plain values, `Named` and `Placed`. Raises ValueError."""
    machine = Machine()
    for step, (code, argument, _) in enumerate(pickletools.genops(data)):
        if step > MAX_STEPS:
            raise ValueError(f"a pickle of more than {MAX_STEPS} instructions")
        if code.name == "STOP":
            return machine.stack.pop()
        machine.step(code.name, argument)
    raise ValueError("a pickle without an end")


class Machine:
    """The instructions of a pickle that torch's C++ writer uses, on a stack; every other is refused."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, code: str, argument: Any) -> None:
        """One instruction. Raises ValueError, IndexError, KeyError for a pickle that is not torch's."""
        if code in CONSTANTS:
            self.stack.append(CONSTANTS[code]())
        elif code in (
            "BININT",
            "BININT1",
            "BININT2",
            "LONG1",
            "BINFLOAT",
            "BINUNICODE",
            "BINSTRING",
            "SHORT_BINSTRING",
        ):
            self.stack.append(argument)
        elif code == "GLOBAL":
            self.stack.append(Named(argument.replace(" ", ".")))
        elif code in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif code == "MARK":
            self.marks.append(len(self.stack))
        elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self.pop(int(code[-1]))))
        elif code == "TUPLE":
            self.stack.append(tuple(self.popped()))
        elif code == "BINPERSID":
            self.stack.append(storage(self.stack.pop()))
        elif code == "NEWOBJ":
            made, _ = self.pop(2)
            self.stack.append(Named(made.name if isinstance(made, Named) else ""))
        elif code == "REDUCE":
            function, arguments = self.pop(2)
            self.stack.append(reduced(function, arguments))
        else:
            self.fill(code)

    def fill(self, code: str) -> None:
        """Instructions that put something into what lies below."""
        if code == "BUILD":
            state = self.stack.pop()
            if isinstance(self.stack[-1], Named):
                self.stack[-1].state = state
        elif code in ("SETITEMS", "SETITEM"):
            items = self.popped() if code == "SETITEMS" else self.pop(2)
            if isinstance(self.stack[-1], dict):
                # Keys of other kinds name no attribute; some cannot be keys.
                pairs = zip(items[::2], items[1::2], strict=True)
                self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, str))
        elif code in ("APPENDS", "APPEND"):
            self.popped() if code == "APPENDS" else self.pop(1)  # no tensor of a list has a name
        elif code != "PROTO":
            raise ValueError(f"the instruction {code}, which TorchScript does not write")

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("a pickle that takes more than there is")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def popped(self) -> list[Any]:
        """Everything above the last mark."""
        mark = self.marks.pop()
        taken = self.stack[mark:]
        del self.stack[mark:]
        return taken


CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}


def storage(told: Any) -> Values:
    """('storage', kind, key, device, count) -> where the numbers lie. Raises ValueError."""
    if not (isinstance(told, tuple) and len(told) == 5 and isinstance(told[1], Named)):
        raise ValueError("a storage that is not described as torch does")
    _, kind, key, _, count = told
    if kind.name not in STORAGES or not isinstance(key, str) or not is_count(count):
        raise ValueError(f"a storage of {kind.name[:60]}, which no weights have")
    return Values(STORAGES[kind.name], key, count)


def reduced(function: Any, arguments: Any) -> Any:
    """A tensor where one would be rebuilt; what any other function would have made is a name."""
    name = function.name if isinstance(function, Named) else ""
    if name != REBUILD:
        return {} if name == "collections.OrderedDict" else Named(name)
    values, offset, shape, strides = arguments[:4]
    fits = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MOST_AXES
    if not (isinstance(values, Values) and fits and all(map(is_count, (offset, *shape, *strides)))):
        raise ValueError("a tensor that is not described as torch does")
    return Placed(values, offset, shape, strides)


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 48
