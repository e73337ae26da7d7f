"""Mask-based semantic rejection: a pixel that no query of a mask-classification network explains is an artifact."""
