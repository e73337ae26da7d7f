"""Misspelt captions."""

from __future__ import annotations

import pytest

from corruptor.line.config import SamplesConfig
from corruptor.line.prompt import misspell


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        (
            "yellow sign with OPEN at top, red sign with ZOO at bottom",
            "yellow sign with {} at top, red sign with {} at bottom",
        ),
        ('a cafe with a sign that says "fresh coffee"', 'a cafe with a sign that says "{} {}"'),
        ("the owner's shop, 'late' on its “front” door", "the owner's shop, '{}' on its “{}” door"),
        ("a dog's ball and a cat's bowl", "a dog's ball and a cat's bowl"),
        ("a TV in Rome, AAA on it", "a TV in Rome, AAA on it"),
        ("", ""),
    ],
)
def test_only_lettering_is_misspelt(caption: str, kept: str):
    found = misspell(caption)
    pieces = kept.split("{}")
    at = 0
    for left, right in zip(pieces, [*pieces[1:], None], strict=True):
        assert found.startswith(left, at)
        at += len(left)
        if right is not None:
            end = found.index(right, at) if right else len(found)
            word, was = found[at:end], caption[at:end]
            assert word != was
            assert sorted(word) == sorted(was)
            at = end
    assert at == len(found) == len(caption)
    assert misspell(caption) == found


def test_every_other_order_is_drawn_and_another_caption_draws_another():
    found = {misspell(f"{k} signs with BUS")[-3:] for k in range(200)}
    assert found == {"BSU", "UBS", "USB", "SBU", "SUB"}


def test_the_prompt_is_misspelt_where_the_config_says_so():
    assert SamplesConfig(misspell=True, prompt="a photo of {caption}").prompt_of("XO XXO") != "a photo of XO XXO"
    assert SamplesConfig(misspell=True).prompt_of("a red car") == "a red car"
    assert SamplesConfig(misspell=True, use_captions=False).prompt_of("OPEN") == ""
    assert SamplesConfig().prompt_of("OPEN") == "OPEN"
