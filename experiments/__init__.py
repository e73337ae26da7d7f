"""Experiments whose tables stand in docs and that are no grid of arms: how often a label is true (purity)."""
