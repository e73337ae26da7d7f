"""Whose title and licence a run's card has: those of its config, else those of its source, which only ours settles."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from corruptor.line.config import LineConfig
from corruptor.line.plan import make_plan
from corruptor.line.run import run_info
from shards.card import card_text
from shards.config import load_config
from shards.croissant import croissant
from shards.growth import Followed
from shards.source import open_source
from shards.writer import RunInfo

TOTALS = {"samples": 3, "artifact": 2, "clean": 1, "shards": 1, "rejects": {}}
OWN = ("source.name=folder", "size.policy=crop", "size.size=64")


def info_of(*overrides: str) -> RunInfo:
    config = load_config("configs/shards/miniworld.py", LineConfig, overrides)
    source = open_source(config.source.name, **config.source.options)
    return run_info(config, Followed(source), make_plan(config, len(source)), "digest")


def test_the_embedded_source_has_title_and_licence_of_its_own():
    info = info_of("source.options.count=4")
    assert (info.title, info.licence) == ("Blemish miniworld", "Apache-2.0")


@pytest.mark.parametrize(
    ("said", "title", "licence"),
    [((), "", ""), (("title=Mine", "licence=CC-BY-4.0"), "Mine", "CC-BY-4.0")],
)
def test_own_pictures_have_what_the_user_says_or_nothing(
    said: tuple[str, ...], title: str, licence: str, pictures: Path
):
    info = info_of(*OWN, f"source.options={{'root': {str(pictures)!r}}}", *said)
    assert (info.title, info.licence) == (title, licence)
    manifest = {**info.identity(), "codec": "webp", "config_hash": "ff", "schema_version": 2, "totals": TOTALS}
    manifest |= {"title": info.title, "licence": info.licence, "shards": []}
    text = card_text(manifest)
    header = yaml.safe_load(text.split("---")[1])
    assert header.get("license", "") == licence.lower()
    assert f"\n# {title or 'Samples of pictures'}\n" in text
    told = croissant(manifest)
    assert told.get("license", "") == licence
    assert "miniworld" not in (text + str(told)).lower()
