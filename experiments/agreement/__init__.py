"""Does the share of artifact pixels prefer what the oracle prefers? Pairs of samples of one caption."""
