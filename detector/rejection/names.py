"""Names of the scores, whose formulas are in detector.rejection.scores, and of what adaptation changes."""

from __future__ import annotations

QUERY_SCORES = ("msr", "msr_unweighted")
"""Of one query at a pixel."""
CLASS_SCORES = ("max_prob", "entropy", "pixel", "rba")
"""Of p(c) = sum_q P_q(c) M_q."""
SCORES = QUERY_SCORES + CLASS_SCORES
PIXEL_SCORES = ("max_prob", "entropy", "pixel")
"""What a network that classifies each pixel has too; its p(c) is a softmax."""

MOST_BOUNDARY = 64
"""Radius in pixels of what is taken for an outline."""

LEARNS = ("queries_features.", "queries_embedder.", "class_predictor.")
"""What adaptation changes, by a part of its name: the queries' embeddings and the class head (section 3.3.1)."""


def learns(name: str) -> bool:
    """Whether a parameter of the network, by its name, is one of those that adaptation changes."""
    return any(part in f"{name}." for part in LEARNS)
