"""Experiments whose tables stand in docs: what the data is worth (closed_world), how often a label is true (purity)."""
