"""Text on sheets: letters with accents are drawn, or lose their accents; never a row of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from shards import fonts
from shards.fonts import drawable, fit, has_letters, sheet_font
from shards.show import HEADER, contact_sheet, titles


def test_umlauts_are_drawn_each_in_its_own_way():
    font = sheet_font(11)
    assert has_letters(font), "matplotlib, which mmengine installs, has the font"
    drawn = {bytes(font.getmask(letter)) for letter in "äöüßéłšЖλ"}
    assert len(drawn) == 9
    assert bytes(font.getmask("\ue000")) not in drawn, "a box"
    assert drawable("Größe\n  Łódź", font) == "Größe Łódź"


def test_without_the_font_accents_are_lost_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    sheet_font.cache_clear()
    font = sheet_font(11)
    sheet_font.cache_clear()
    assert not has_letters(font)
    assert drawable("Größe, Łódź, 日本", font) == "Grosse, ?odz, ??"
    assert drawable("Größe", ImageFont.load_default_imagefont()) == "Grosse"


def test_text_is_cut_to_its_width():
    font = sheet_font(11)
    assert fit("short", font, 200) == "short"
    cut = fit("ä" * 1000, font, 100)
    assert cut.endswith("ä...")
    assert font.getlength(cut) <= 100 < font.getlength(cut[:-3] + "ä...")


def test_a_sheet_has_a_legend_and_titles(sample):
    one = sample(0, 1)
    head = contact_sheet([one, one], columns=2, side=160)[:HEADER]
    paper = np.array([250, 250, 248])
    drawn = (head != paper).any(axis=2)
    assert (head == [230, 30, 40]).all(axis=2).sum() > 20, "the colour of artifacts"
    assert (head == [240, 190, 0]).all(axis=2).sum() > 20, "the colour of what is ignored"
    cell = 3 * 166 + 12
    for left in (6, 172, 338, cell + 6, cell + 172, cell + 338):
        assert drawn[20:, left : left + 25].any(), f"no title at {left}"
    assert titles({True}) == ("clean twin", "mask", "sample")
    assert titles({False})[0] == "picture"
    assert titles({True, False})[0] == "clean twin, or picture"
