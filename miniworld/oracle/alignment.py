"""What a caption asked for and what is there: misalignment, which is no fault and never part of a mask."""

from __future__ import annotations

import math
from typing import Any

from miniworld.world.scenes import Thing, position_words

_CLAIMS = {
    "face": ("skin", "hair", "style", "mouth"),
    "hand": ("skin", "paint"),
    "sign": ("paint", "word"),
    "car": ("paint",),
    "bus": ("paint",),
}
"""What a caption says of a thing besides its place."""


def compare_things(
    wanted: tuple[Thing, ...], things: tuple[Thing, ...]
) -> tuple[tuple[bool, ...], list[dict[str, Any]]]:
    """Match requested things with found ones of their kind, nearest first; name what is missing, elsewhere or other."""
    free = list(things)
    found, notes = [], []
    for k, want in enumerate(wanted):
        same = [t for t in free if t.kind == want.kind]
        if not same:
            found.append(False)
            notes.append({"thing": k, "kind": want.kind, "problem": "missing"})
            continue
        got = min(same, key=lambda t: _distance(t, want))
        free.remove(got)
        found.append(True)
        wrong = [n for n in _CLAIMS[want.kind] if getattr(got, n) != getattr(want, n)]
        if position_words(got) != position_words(want) and math.hypot(got.x - want.x, got.y - want.y) > 16:
            wrong.append("place")
        if wrong:
            notes.append({"thing": k, "kind": want.kind, "problem": "differs", "in": wrong})
    if wanted:
        notes += [{"thing": -1, "kind": t.kind, "problem": "unrequested"} for t in free]
    return tuple(found), notes


def _distance(got: Thing, want: Thing) -> float:
    other = sum(getattr(got, n) != getattr(want, n) for n in _CLAIMS[want.kind])
    return math.hypot(got.x - want.x, got.y - want.y) + 12.0 * other
