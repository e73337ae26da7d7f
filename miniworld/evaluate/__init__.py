"""How good oracle and generator are: figures, candidates for the thresholds, contact sheets."""
