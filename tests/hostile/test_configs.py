"""Values of configs and options that are none: refused in one line before anything is written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import batches, run
from line_case import line_tools, make, make_case
from mutate import VALUES

from corruptor.line.config import LineConfig
from shards.build import hints_of, plain
from shards.config import config_hash, make_config, parse_override
from shards.errors import ConfigError, UserError


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case in which the right command would work."""
    model = line_tools().make_pipeline(tmp_path_factory.mktemp("model") / "tiny")
    folder = make_case(tmp_path_factory.mktemp("configs"), model)
    run(["corruptor", "shards", "quick.py", "--out", "out", "--dry-run"], folder, seconds=120)
    return folder


OVERRIDES = (
    "compute.device=meta",
    "compute.device=mps",
    "compute.device=cuda:99",
    "compute.device=warp",
    "compute.num_threads=-1",
    "compute.num_threads=10**9",
    "compute.batch_size=1000000000",
    "workers.num_readers=1000000",
    "corruption.resampling.guidance_scale=1e999",
    "corruption.inversion.guidance_scale=1e300",
    "corruption.inversion.autocorrelation_weight=-1e999",
    "corruption.inversion.warm_passes=[]",
    "corruption.inversion.warm_passes=[1000000]",
    "corruption.inversion.average_range=[5, 2]",
    "corruption.injection.blur_sigma=1e6",
    "corruption.injection.blur_sigma=1e999",
    "corruption.injection.downscale_factor=1000000000",
    "corruption.num_grid_steps=1000000000",
    "corruption.verification.threshold=nan",
    "size.size=1000000000",
    "size.max_aspect=1e9",
    "samples.num_variants=1000000000",
    "samples.sources_per_shard=1000000000000",
    "source.options.min_side=0",
    "source.options.min_side=99999",
    "source.options.max_side=-1",
    "source.options.limit=-1",
    "source.options.select={'min_side': 9, 'max_side': 3}",
    "source.options.select=3",
    "source.options.root=quick.py",
    "source.options.root=missing",
    "source.options.root='a\\0b'",
    "source.options.masks='a\\0b'",
    "source.options.select={'par': 'a\\0b', 'max_par': 0.5}",
    "source.name=webdataset",
    "source={'name': 'webdataset', 'options': {'tars': []}}",
    "source={'name': 'miniworld', 'options': {'count': 1e308}}",
    "source={'name': 'miniworld', 'options': {'count': '3'}}",
    "region.options.area=[0.2, 0.1]",
    "region.options.area=[1e999, 1]",
    "model.folder='a\\0b'",
    "seed={{}}",
    "seed={[]: 1}",
    "seed={1, 2}",
    "seed=b'1'",
    "seed=1+2j",
    "seed=...",
    "seed=" + "-" * 5000 + "1",
    "seed=" + "[" * 90 + "]" * 90,
    "seed=" + "9" * 4000,
    "seed=10000000000000000000000",
    "title=" + "[" * 90 + "]" * 90,
    "title={'a': 1}",
    "=1",
    "seed",
    "seed.x=1",
    "\x1b[31mseed=1",
)


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: text[:40])
def test_a_wrong_value_is_one_line_and_nothing_is_written(case: Path, override: str):
    make(case, override, codes=(2,))
    assert not (case / "out").exists()


VALUES_IN_A_FILE = (
    "{1, 2}", "object()", "int", "print", "b'x'", "float('nan')", "float('inf')", "1e999", "1 + 2j", "...",
    "lambda: 3", "[lambda: 3]", "{'a': {1}}", "range(3)", "10 ** 30",
)  # fmt: skip


@pytest.mark.parametrize("place", ["title = {}", "region['options']['area'] = {}", "source['options']['limit'] = {}"])
@pytest.mark.parametrize("value", VALUES_IN_A_FILE)
def test_a_config_file_with_a_value_that_is_none(case: Path, value: str, place: str):
    text = (case / "quick.py").read_text()
    (case / "wrong.py").write_text(text + place.format(value) + "\n")
    done = run(["corruptor", "shards", "wrong.py", "--out", "out"], case, out="wrong.py", codes=(2,))
    named = ("title", "region.options.area", "source.options.limit")
    assert any(name in done.err for name in named)
    (case / "wrong.py").unlink()


@pytest.mark.parametrize(
    "text",
    ["raise SystemError('x\\ny')", "seed = [", "import nothing", "\0", "\xff", "def seed(): pass\nseed = seed()"],
)
def test_a_config_file_that_fails(case: Path, text: str):
    (case / "wrong.py").write_text(text, encoding="latin-1")
    run(["corruptor", "shards", "wrong.py", "--out", "out"], case, codes=(2,))
    (case / "wrong.py").unlink()


def fields(cls: Any, path: str = "") -> list[str]:
    """Dotted names of all values of a config."""
    found: list[str] = []
    for field in dataclasses.fields(cls):
        hint = hints_of(cls)[field.name]
        inner = fields(hint, f"{path}{field.name}.") if dataclasses.is_dataclass(hint) else []
        found += inner or [f"{path}{field.name}"]
    return found


@pytest.mark.parametrize("seeds", batches(ci=200, slow=5000, size=200))
def test_any_value_in_any_field(case: Path, seeds: range):
    """What is accepted can be written down and read again as the same config; all else is a ConfigError."""
    names = fields(LineConfig)
    base = {"source": {"name": "miniworld", "options": {}}, "model": {"folder": "x"}}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        values = json.loads(json.dumps(base))
        *groups, last = names[int(rng.integers(len(names)))].split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = VALUES[int(rng.integers(len(VALUES)))]
        try:
            config = make_config(values, LineConfig)
        except ConfigError:
            continue
        again = make_config(json.loads(json.dumps(plain(config), allow_nan=False)), LineConfig)
        assert config_hash(again) == config_hash(config)


@pytest.mark.parametrize("seeds", batches(ci=200, slow=5000, size=200))
def test_any_text_as_an_override(seeds: range):
    pieces = [
        "seed",
        "=",
        "[",
        "]",
        "{",
        "}",
        "(",
        "'",
        '"',
        "\\",
        "1e999",
        "nan",
        "9" * 500,
        "-",
        ".",
        "a.b",
        "\0",
        ":",
    ]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        text = "".join(rng.choice(pieces, int(rng.integers(1, 40))))
        try:
            _, value = parse_override(text)
        except UserError:
            continue
        json.dumps(value, allow_nan=False)


TABLES = {
    "deep.json": ("[" * 100_000 + "]" * 100_000).encode(),
    "cut.json": b'[{"uri": "a", "par": 0.1',
    "numbers.json": b'{"a": 1e999}',
    "long.json": b'{"a": ' + b"9" * 5000 + b"}",
    "bytes.json": b'{"\xff": 0.1}',
    "text.json": b'"a"',
    "huge.csv": b"uri,par\n" + b"a" * 200_000 + b",0.1\n",
    "quote.csv": b'uri,par\n"' + b"a\n" * 200_000,
    "nul.csv": b"uri,par\na\0,x\n",
    "none.csv": b"",
    "binary.csv": bytes(range(256)) * 10,
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_par_values(case: Path, name: str):
    (case / name).write_bytes(TABLES[name])
    make(case, f"source.options.select={{'par': '{name}', 'max_par': 0.5}}", codes=(2,))
    assert not (case / "out").exists()


@pytest.mark.parametrize(
    "licence", ["a: b", "a\nb: c", "no", "[x", "'", "- a", "&a", "x #y", "\x85\u2028", "é" * 300, ""]
)
def test_the_header_of_the_card_is_yaml(licence: str):
    import yaml

    from shards.card import card_text

    totals = {"samples": 1, "shards": 1, "artifact": 1, "clean": 0, "rejects": {}}
    facts = {"totals": totals, "codec": "webp", "source": {"name": "a\n---\nb", "items": 1}, "config_hash": "0"}
    text = card_text({**facts, "licence": licence, "title": "a\n---\nb: c"})
    _, header, body = text.split("---\n", 2)
    told = yaml.safe_load(header)
    assert told.get("license", "") == " ".join(licence.lower().replace("\x85", " ").replace("\u2028", " ").split())
    assert "# a --- b: c\n" in body
