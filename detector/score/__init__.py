"""Scores of predicted masks and heat maps: integer counts first, ratios last. Definitions: docs/reference/scores.md."""
