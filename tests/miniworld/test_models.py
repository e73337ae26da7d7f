"""The text side of the generator: every caption word is one token."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("diffusers")

from miniworld.generator.models import MAX_TOKENS, build_tokenizer, build_unet, build_vae, tokenize, vocabulary
from miniworld.world.scenes import caption, sample_scene


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    return build_tokenizer(folder)


def test_every_word_is_one_token(tokenizer) -> None:
    for word in vocabulary():
        assert len(tokenizer.tokenize(word)) == 1, word


def test_captions_are_words_of_the_vocabulary_and_fit(tokenizer) -> None:
    known = set(vocabulary())
    for seed in range(400):
        words = caption(sample_scene(seed)).lower().replace(",", " ,").split()
        assert set(words) <= known
        assert len(tokenizer.tokenize(caption(sample_scene(seed)))) == len(words)
        assert len(words) + 2 <= MAX_TOKENS


def test_different_captions_differ_in_tokens(tokenizer) -> None:
    words = sorted({caption(sample_scene(seed)) for seed in range(100)})
    ids = tokenize(tokenizer, words)
    assert ids.shape == (len(words), MAX_TOKENS)
    assert len({tuple(row.tolist()) for row in ids}) == len(words)


def test_other_texts_fall_into_letters_without_error(tokenizer) -> None:
    assert len(tokenizer.tokenize("zebra; 7 stars!")) > 5


def test_networks_stay_small() -> None:
    sizes = [sum(p.numel() for p in net.parameters()) for net in (build_vae(), build_unet())]
    assert 2 * sum(sizes) < 28_000_000  # bytes in half precision
