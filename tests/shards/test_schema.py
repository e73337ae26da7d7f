"""Samples to files and back, read by Pillow and json alone."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from shards.errors import SchemaError
from shards.schema import (
    CODECS,
    Component,
    Meta,
    SourceMeta,
    decode_meta,
    decode_sample,
    encode_image,
    encode_meta,
    encode_sample,
    make_key,
    parse_key,
)


def types(value):
    return {k: types(v) for k, v in value.items()} if isinstance(value, dict) else type(value)


@pytest.mark.parametrize("codec", CODECS)
def test_an_independent_reader_finds_the_pixels(sample, codec):
    one = sample()
    members = encode_sample(one, codec)
    assert list(members) == ["json", "mask.png", f"source.{codec}", codec]
    mask = np.asarray(Image.open(io.BytesIO(members["mask.png"])))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, one.mask * 255)
    for name, array in ((codec, one.image), (f"source.{codec}", one.source)):
        seen = np.asarray(Image.open(io.BytesIO(members[name])).convert("RGB")).astype(int)
        assert np.abs(seen - array).max() <= (255 if codec == "jpg" else 0)


def test_a_sample_survives_the_round_trip(sample):
    one = sample(3, 7)
    back = decode_sample(one.key, encode_sample(one))
    assert np.array_equal(back.image, one.image)
    assert np.array_equal(back.mask, one.mask)
    assert np.array_equal(back.source, one.source)
    assert back.meta.corruption == one.meta.corruption
    assert back.meta.components == (Component((6, 4, 20, 12), 112),)
    assert (back.meta.mask.artifact_pixels, back.meta.mask.num_components) == (112, 1)
    assert back.meta.mask.area == pytest.approx(112 / 1024, abs=1e-6)


def test_json_has_the_same_keys_and_types_clean_or_not(sample):
    clean = json.loads(encode_sample(sample(artifact=False))["json"])
    broken = json.loads(encode_sample(sample())["json"])
    assert types(clean) == types(broken)
    assert set(flat(types(clean))) <= {int, float, str, bool}


def flat(tree):
    for value in tree.values():
        yield from flat(value) if isinstance(value, dict) else [value]


def test_whole_numbers_in_float_fields_stay_floats():
    meta = Meta(label="clean", source=SourceMeta("s", "u", "h"))
    meta = dataclasses.replace(meta, change=dataclasses.replace(meta.change, inside=np.float32(3)))
    stored = json.loads(encode_meta(meta))
    assert isinstance(stored["change"]["inside"], float)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda j: j.pop("seed"), "missing key 'seed'"),
        (lambda j: j["source"].pop("uri"), "missing key 'source.uri'"),
        (lambda j: j.update(sed=1), "unknown key 'sed'; did you mean 'seed'"),
        (lambda j: j.update(seed="1"), "seed must be int"),
        (lambda j: j.update(schema_version=99), "schema version 99; this build reads version 1"),
        (lambda j: j.update(label="broken"), "label = 'broken'"),
        (lambda j: j.update(components="[{]"), "metadata"),
    ],
)
def test_other_json_is_refused(sample, edit, message):
    stored = json.loads(encode_sample(sample())["json"])
    edit(stored)
    with pytest.raises(SchemaError, match=message):
        decode_meta(json.dumps(stored).encode())


def test_not_a_number_is_refused(sample):
    one = sample()
    meta = dataclasses.replace(one.meta, change=dataclasses.replace(one.meta.change, inside=float("nan")))
    with pytest.raises(SchemaError, match="metadata"):
        encode_sample(dataclasses.replace(one, meta=meta))


def test_label_sizes_and_key_must_agree(sample):
    one = sample()
    for wrong, message in (
        (dataclasses.replace(one, mask=one.mask * 0), "label is 'artifact'"),
        (dataclasses.replace(one, mask=one.mask[:8]), "but mask"),
        (dataclasses.replace(one, image=one.image.astype(np.float32)), "uint8 HWC RGB"),
        (dataclasses.replace(one, key="a.b"), "not of the form"),
    ):
        with pytest.raises(SchemaError, match=message):
            encode_sample(wrong)


def test_an_ignored_region_is_no_artifact(sample):
    one = sample()
    mask = np.where(one.mask == 1, 255, 0).astype(np.uint8)
    with pytest.raises(SchemaError, match="the mask says 'clean'"):
        encode_sample(dataclasses.replace(one, mask=mask))
    members = encode_sample(dataclasses.replace(one, mask=mask, meta=dataclasses.replace(one.meta, label="clean")))
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(members["mask.png"]))))) == {0, 128}


def test_missing_and_damaged_members_name_the_sample(sample):
    one = sample()
    members = encode_sample(one)
    for change, message in (
        ({"webp": None}, "expected one image member"),
        ({"json": None}, "member json is missing"),
        ({"webp": members["webp"][:60]}, "cannot be decoded"),
        ({"mask.png": encode_image(one.image, "png")}, "8-bit grey"),
        ({"json": b"[]"}, "schema version None"),
    ):
        damaged = {name: data for name, data in {**members, **change}.items() if data is not None}
        with pytest.raises(SchemaError, match=f"00000_00000.*{message}"):
            decode_sample(one.key, damaged)


def test_keys():
    assert make_key(1, 23) == "00001_00023"
    assert make_key(123456, 0) == "123456_00000"
    assert parse_key("123456_00000") == (123456, 0)
    for bad in ("1_2", "00001.00002", "", "00000_00000_0"):
        with pytest.raises(SchemaError):
            parse_key(bad)
