"""The sample: its fields, its files, and the conversion between the two. Nothing else knows the file layout.

A sample `{shard:05d}_{row:05d}` is four members of a tar: `.webp` (or `.png`, `.jpg`) the image, `.mask.png` the label,
`.json` the facts, `.source.webp` (or the image's own extension) the clean twin where there is one.
Images are uint8 HWC RGB, 0..255; masks are uint8 HW, 0 clean, 1 artifact, 255 ignore (in files 0, 255, 128).

The JSON has the same keys and the same value types in every sample, clean or not: no nulls, no lists. What varies in
length or shape (components, scene, options) is stored as JSON text, because readers that infer a table's schema from
the first rows cannot type an empty list. A number that does not apply is -1.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from shards.build import LATER, BuildError, build, hints_of, plain
from shards.errors import SchemaError
from shards.guard.json_text import RECORD, parse_json
from shards.images import CODECS as CODECS  # the names of the schema that others import from here
from shards.images import MAX_MEMBER as MAX_MEMBER
from shards.images import MAX_PIXELS as MAX_PIXELS
from shards.images import Codec as Codec
from shards.images import decode_image as decode_image
from shards.images import decode_mask as decode_mask
from shards.images import encode_image as encode_image
from shards.masks import (
    ARTIFACT,
    IGNORE,
    U8,
    check_mask,
    component_boxes,
    label_components,
    mask_to_file,
)

SCHEMA_VERSION = 1
KEY_PATTERN = re.compile(r"[0-9]{5,9}_[0-9]{5,9}")
MASK_MEMBER, META_MEMBER = "mask.png", "json"
NOT_APPLICABLE = -1.0
MAX_SIZES = {META_MEMBER: RECORD.max_bytes, MASK_MEMBER: MAX_MEMBER >> 1}
"""Of members that are smaller by nature."""


@dataclass(frozen=True)
class SourceMeta:
    """Where the picture came from."""

    set: str
    uri: str
    sha256: str
    """Of the source file's bytes (of the rendered pixels for generated sources)."""
    occurrence: int = 0
    """How many earlier items of the source have the same bytes."""
    index: int = -1
    """Position in the source list."""
    caption: str = ""
    licence: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class ModelMeta:
    """The generator that made the damage; empty for labelled sets."""

    id: str = ""
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True)
class CorruptionMeta:
    """Every choice of the corruption; `method` is "none" for pictures that were not corrupted."""

    method: str = "none"
    inversion: str = ""
    passes: str = ""
    """Noise predictions of each inversion step, such as "2,3,1,1"."""
    start_step: int = -1
    num_steps: int = 0
    num_resample_steps: int = 0
    eta: float = 0.0
    guidance_scale: float = 1.0
    prompt: str = ""
    act_on: str = ""
    """What blur, rotation and the like act on: image, z0 or z_t."""
    blend: bool = False
    paste_back: bool = False
    injected: bool = False
    """False for clean negatives, which pass through the same steps without injection."""
    nfe: int = 0
    """Noise predictions spent on this picture."""
    options: dict[str, Any] = field(default_factory=dict)
    """Everything else in the corruption part of the config."""
    kind: str = field(default="", metadata={LATER: True})
    """distort, duplicate, omit or fuse, "none" for clean samples; where a run has no kinds there is no such key."""


@dataclass(frozen=True)
class RegionMeta:
    """How the mask was proposed."""

    policy: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskMeta:
    """Integer counts first, the share derived."""

    artifact_pixels: int = 0
    ignore_pixels: int = 0
    num_components: int = 0
    area: float = 0.0
    """artifact_pixels / all pixels, 0..1."""


@dataclass(frozen=True)
class Component:
    """One connected component (8 neighbours) of the proposed mask."""

    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 in pixels, ends excluded."""
    pixels: int
    inside: float = NOT_APPLICABLE
    ring: float = NOT_APPLICABLE
    verdict: str = "keep"
    """keep, trim, ignore or drop: what verification did with it."""


@dataclass(frozen=True)
class ChangeMeta:
    """Change against the source twin, in the named metric; -1 where there are no such pixels."""

    metric: str = ""
    threshold: float = NOT_APPLICABLE
    policy: str = ""
    inside: float = NOT_APPLICABLE
    ring: float = NOT_APPLICABLE
    outside: float = NOT_APPLICABLE


@dataclass(frozen=True)
class SizeMeta:
    """How the source was brought to the model's size (shards.resize)."""

    policy: str = "none"
    width: int = 0
    height: int = 0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Meta:
    """The JSON of a sample."""

    label: Literal["artifact", "clean"]
    source: SourceMeta
    schema_version: int = SCHEMA_VERSION
    variant: int = 0
    """Number of this corruption among those of one source picture."""
    seed: int = 0
    model: ModelMeta = field(default_factory=ModelMeta)
    corruption: CorruptionMeta = field(default_factory=CorruptionMeta)
    region: RegionMeta = field(default_factory=RegionMeta)
    mask: MaskMeta = field(default_factory=MaskMeta)
    components: tuple[Component, ...] = ()
    change: ChangeMeta = field(default_factory=ChangeMeta)
    cells: str = ""
    """Injected latent cells, packed by shards.masks.pack_cells; "" where nothing was injected."""
    size: SizeMeta = field(default_factory=SizeMeta)
    config_hash: str = ""
    versions: dict[str, Any] = field(default_factory=dict)
    """Package name -> version."""
    scene: dict[str, Any] = field(default_factory=dict)
    """Full specification of a rendered scene; empty for photographs."""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One sample in memory: image and source uint8 HWC RGB, mask uint8 HW with 0, 1, 255."""

    key: str
    image: U8
    mask: U8
    meta: Meta
    source: U8 | None = None


def make_key(shard: int, row: int) -> str:
    """The sample key; no dots, because a dot ends the key in a WebDataset tar."""
    if shard < 0 or row < 0:
        raise SchemaError(f"shard and row must be 0 or more, got {shard} and {row}")
    return f"{shard:05d}_{row:05d}"


def parse_key(key: str) -> tuple[int, int]:
    """Return (shard, row). Raises SchemaError on another form."""
    if not KEY_PATTERN.fullmatch(key):
        raise SchemaError(f"sample key {key[:40]!r} is not of the form 00000_00000 (shard_row)")
    shard, row = key.split("_")
    return int(shard), int(row)


def mask_facts(mask: U8) -> MaskMeta:
    """What a sample's JSON says of its mask."""
    pixels = int(np.count_nonzero(mask == ARTIFACT))
    ignored = int(np.count_nonzero(mask == IGNORE))
    _, components = label_components(mask)
    return MaskMeta(pixels, ignored, components, round(pixels / mask.size, 6))


def describe_mask(meta: Meta, mask: U8) -> Meta:
    """Fill in `meta.mask` from the pixels, and `meta.components` where the caller gave none."""
    components = meta.components or tuple(Component(box, count) for box, count in component_boxes(mask))
    return dataclasses.replace(meta, mask=mask_facts(mask), components=components)


def check_sample(sample: Sample) -> None:
    """Raise SchemaError unless shapes, dtypes, mask values, key and label fit together."""
    parse_key(sample.key)
    twins = [("image", sample.image)] + ([("source", sample.source)] if sample.source is not None else [])
    for name, array in twins:
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
            raise SchemaError(f"{sample.key}: {name} must be uint8 HWC RGB, got {array.dtype} of shape {array.shape}")
        if array.shape[:2] != sample.mask.shape:
            raise SchemaError(f"{sample.key}: {name} is {array.shape[:2]} but mask {sample.mask.shape}")
    check_mask(sample.mask)
    expected = "artifact" if (sample.mask == ARTIFACT).any() else "clean"
    if sample.meta.label != expected:
        raise SchemaError(f"{sample.key}: label is '{sample.meta.label}' but the mask says '{expected}'")


def encode_sample(sample: Sample, codec: Codec = "webp") -> dict[str, bytes]:
    """Sample -> {member extension: bytes}, in the order of the tar. Mask facts are computed here.

    Raises SchemaError if the sample breaks the schema or the codec is unknown.
    """
    check_sample(sample)
    meta = describe_mask(sample.meta, sample.mask)
    members = {META_MEMBER: encode_meta(meta), MASK_MEMBER: encode_image(mask_to_file(sample.mask), "png")}
    if sample.source is not None:
        members[f"source.{codec}"] = encode_image(sample.source, codec)
    members[codec] = encode_image(sample.image, codec)
    return members


def decode_sample(key: str, members: typing.Mapping[str, bytes]) -> Sample:
    """{member extension: bytes} -> Sample. Raises SchemaError naming the key and what is wrong or missing."""
    codec = image_codec(key, members)
    missing = [name for name in (META_MEMBER, MASK_MEMBER) if name not in members]
    if missing:
        raise SchemaError(f"{key}: member {', '.join(missing)} is missing; found {', '.join(sorted(members))}")
    try:
        source = members.get(f"source.{codec}")
        sample = Sample(
            key=key,
            image=decode_image(members[codec]),
            mask=decode_mask(members[MASK_MEMBER]),
            meta=decode_meta(members[META_MEMBER]),
            source=None if source is None else decode_image(source),
        )
    except SchemaError as error:
        raise SchemaError(f"{key}: {error}") from error
    check_sample(sample)
    return sample


def image_codec(key: str, members: typing.Iterable[str]) -> Codec:
    """The extension of the image member. Raises SchemaError unless there is exactly one."""
    names = set(members)
    found = [codec for codec in CODECS if codec in names]
    if len(found) != 1:
        raise SchemaError(f"{key}: expected one image member of {', '.join(CODECS)}; found {', '.join(sorted(names))}")
    return found[0]


def encode_meta(meta: Meta) -> bytes:
    """Meta -> UTF-8 JSON with sorted keys; numpy scalars become numbers. Raises SchemaError on a wrong type."""
    try:
        checked = build(Meta, plain(meta))
        text = json.dumps(_to_file(checked), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (BuildError, TypeError, ValueError) as error:
        raise SchemaError(f"metadata: {error}") from error
    return text.encode("utf-8", "replace")


def decode_meta(data: bytes) -> Meta:
    """UTF-8 JSON -> Meta; every key must be there with its type. Raises SchemaError."""
    try:
        raw = parse_json(data, "metadata")
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            raise SchemaError(f"schema version {repr(version)[:40]}; this build reads version {SCHEMA_VERSION}")
        return build(Meta, _from_file(Meta, raw), require_all=True)
    except SchemaError:
        raise
    except ValueError as error:
        raise SchemaError(f"metadata: {error}") from error


def _is_text(hint: Any) -> bool:
    """Whether a field of this type is stored as JSON text."""
    return typing.get_origin(hint) in (tuple, dict)


def _to_file(record: Any) -> dict[str, Any]:
    hints = hints_of(type(record))
    stored: dict[str, Any] = {}
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        if LATER in item.metadata and value == item.default:
            continue
        if _is_text(hints[item.name]):
            value = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False)
        elif dataclasses.is_dataclass(value):
            value = _to_file(value)
        stored[item.name] = value
    return stored


def _from_file(cls: Any, stored: Any) -> Any:
    if not isinstance(stored, dict):
        return stored
    loaded = dict(stored)
    for name, hint in hints_of(cls).items():
        value = loaded.get(name)
        if dataclasses.is_dataclass(hint):
            loaded[name] = _from_file(hint, value) if name in loaded else {}
        elif _is_text(hint) and isinstance(value, str):
            loaded[name] = parse_json(value, f"metadata: the text of {name}")
    return loaded
