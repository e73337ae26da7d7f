"""The share of artifact pixels as a measure of quality: percentiles, best of several, agreement with people."""
