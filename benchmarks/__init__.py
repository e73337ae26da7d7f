"""Measurements behind the figures in docs/; each writes a Markdown table and JSON."""
