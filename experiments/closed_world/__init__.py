"""Table 1 of the paper in the embedded world, where an oracle knows the truth."""
