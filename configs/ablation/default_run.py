"""What the default of `make shards` is worth at its own size, 576 sources, beside one try a region."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_once import *

title = "The default run, embedded world"
seeds = [0, 1, 2]
set = []
arms = [
    dict(name="once"),
    dict(name="default", config="configs/shards/miniworld.py"),
]
compare = [["default", "once"]]
