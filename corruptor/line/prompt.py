"""Captions with their lettering misspelt: a generator asked for a word that is none draws what no sign says."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from shards.seeds import named_rng

LETTERING = re.compile(r"\"[^\"]+\"|“[^”]+”|«[^»]+»|(?<!\w)'[^']+'(?!\w)|\b[A-Z]{3,}\b")
"""Text in quotation marks, and words of three or more capitals. An apostrophe within a word is no quotation mark."""
CLAUSE = re.compile(r"[,;.] | and ")
WORD = re.compile(r"[^\W\d_]{2,}")


def misspell(caption: str) -> str:
    """The caption with the letters of every word of its lettering in another order.

    The order follows from the caption alone. Words of one letter repeated stay as they are.
    """
    rng = named_rng(f"misspell/{caption}")
    return LETTERING.sub(lambda found: WORD.sub(lambda word: _shuffled(word.group(), rng), found.group()), caption)


def without(caption: str, names: Iterable[str]) -> str:
    """The caption without its clauses that name any of these things; "" where no clause does, for then all of it may.

    Args:
        names: of things and parts, such as "hand-0" or "hand.finger": each word of them counts, numbers do not.
    """
    words = {word.lower() for name in names for word in WORD.findall(name)}
    clauses = CLAUSE.split(caption)
    kept = [one for one in clauses if not words & {word.lower() for word in WORD.findall(one)}]
    return ", ".join(one.strip() for one in kept) if len(kept) < len(clauses) else ""


def _shuffled(word: str, rng: np.random.Generator) -> str:
    """Another order of the letters; all orders but the given one are equally likely."""
    if len(set(word)) == 1:
        return word
    while True:
        other = "".join(word[k] for k in rng.permutation(len(word)))
        if other != word:
            return other
