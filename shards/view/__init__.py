"""Pages on which a run, or predictions against their truth, can be looked at."""
