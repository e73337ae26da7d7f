"""Whose title and licence a run has: those of its config, else those of its source, which only ours settles."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from corruptor.line.config import LineConfig
from corruptor.line.load import load_line
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
    told = croissant(manifest, "2026-01-01")
    assert told.get("license", "") == licence
    assert "miniworld" not in (text + str(told)).lower()


PROGAMER = "configs/shards/sd15_progamer_recommended.py"
RICHHF = "configs/shards/sdxl_richhf_step40.py"


@pytest.mark.parametrize(
    ("config", "said", "title"),
    [
        (PROGAMER, (), "Blemish, SD 1.5, DALL-E 3 pictures"),
        (
            PROGAMER,
            ("seed=3", "source.options.select.count=10", "model.folder=mine"),
            "Blemish, SD 1.5, DALL-E 3 pictures",
        ),
        (PROGAMER, ("source.options.tars=mine.tar",), ""),
        (PROGAMER, ("source.name=folder", "source.options={'root': 'mine'}"), ""),
        (PROGAMER, ("source.options.tars=mine.tar", "title=Mine"), "Mine"),
        (
            RICHHF,
            ("source.options.where=./out/richhf/train",),
            "Blemish, SDXL, RichHF-18k's training pictures, start step 40",
        ),
        (RICHHF, ("source.options.where=mine",), ""),
        ("configs/shards/hps.py", ("source.options.tars=[mine.tar]",), ""),
    ],
)
def test_a_title_of_ours_goes_with_our_source(config: str, said: tuple[str, ...], title: str):
    assert load_line(config, said).title == title


def test_a_title_of_ours_in_a_config_of_ones_own(tmp_path: Path):
    mine = tmp_path / "mine.py"
    base = "from mmengine.config import read_base\nwith read_base():\n"
    base += "    from configs.shards.sd15_richhf_recommended import *\n"
    titles = []
    for text in (
        "seed = 2\n",
        "source.update(options=dict(where='mine'))\n",
        "source.update(name='f.py:F')\ntitle = 'M'\n",
    ):
        mine.write_text(base + text)
        titles.append(load_line(mine).title)
    assert titles == ["Blemish, SD 1.5, RichHF-18k's training pictures", "", "M"]


@pytest.mark.parametrize(
    ("config", "said", "credits"),
    [
        (PROGAMER, (), ("MIT", "progamer-dalle3")),
        (PROGAMER, ("source.options.tars=mine.tar",), ("", "")),
        (PROGAMER, ("source.options.tars=mine.tar", "title=Mine"), ("", "")),
        (PROGAMER, ("source.options.tars=mine.tar", "source.options.licence=MIT"), ("MIT", "")),
        (PROGAMER, ("source.options.tars=mine.tar", "source.options.set_name=Mine"), ("", "Mine")),
        ("configs/shards/hps.py", (), ("MIT", "")),
        ("configs/shards/hps.py", ("source.options.tars=[mine.tar]",), ("", "")),
    ],
)
def test_licence_and_set_of_ours_go_with_our_source(config: str, said: tuple[str, ...], credits: tuple[str, str]):
    options = load_line(config, said).source.options
    assert (options.get("licence", ""), options.get("set_name", "")) == credits


@pytest.mark.parametrize(
    ("text", "credits"),
    [
        ("source['options'].update(tars='mine.tar')\ntitle = 'M'\n", ("", "")),
        ("source['options'].update(tars='mine.tar', licence='CC0')\n", ("CC0", "")),
        ("source = dict(name='webdataset', options=dict(tars='mine.tar', licence='MIT'))\n", ("MIT", "")),
    ],
)
def test_licence_and_set_in_a_config_of_ones_own(text: str, credits: tuple[str, str], tmp_path: Path):
    mine = tmp_path / "mine.py"
    base = "from mmengine.config import read_base\nwith read_base():\n"
    base += "    from configs.shards.sd15_progamer_step40 import *\n"
    mine.write_text(base + text)
    options = load_line(mine).source.options
    assert (options.get("licence", ""), options.get("set_name", "")) == credits
