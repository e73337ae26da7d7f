"""Which pictures are damaged: rendered ones, or the generator's own, all of them or the whole ones."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_own import *

title = "Sources: renders and the generator's own pictures, embedded world"
set = []
made = dict(wild=dict(count=2000))
arms = [
    dict(name="renders", set=["source.options.count=2000", "source.options.first_seed=500000"]),
    dict(name="wild pictures", sources="wild"),
    dict(name="wild pictures without faults", sources="wild", set=["source.options.label='clean'"]),
    dict(name="oracle's labels of the wild pictures", shards="wild"),
]
compare = [
    ["wild pictures", "renders"],
    ["wild pictures without faults", "renders"],
    ["oracle's labels of the wild pictures", "renders"],
]
