"""The assembly line of `python -m corruptor shards`: read, select, corrupt, write, all at once. Start at `run`."""
