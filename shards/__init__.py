"""The contract of Blemish: what a sample is, where pictures come from, how shards are written and read."""
