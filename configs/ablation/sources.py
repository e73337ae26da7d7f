"""Which pictures are damaged: rendered ones, or the generator's own, all of them or the whole ones."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_own import *

title = "Sources: renders and the generator's own pictures, embedded world"
set = []
made = dict(wild=dict(count=2000))
tests["balanced"] = "miniworld/sets/v1/wild-balanced"
arms = [
    dict(name="renders", set=["source.options.count=2000", "source.options.first_seed=500000"]),
    dict(name="wild pictures", sources="wild"),
    dict(name="wild pictures without faults", sources="wild", set=["source.options.label='clean'"]),
    dict(name="oracle's labels of the wild pictures", shards="wild"),
    # About as many as have no faults.
    dict(name="500 renders", set=["source.options.count=500", "source.options.first_seed=500000"]),
    dict(name="oracle's labels of 500 wild pictures", shards="wild", samples=500),
]
compare = [
    ["wild pictures", "renders"],
    ["wild pictures without faults", "renders"],
    ["wild pictures without faults", "500 renders"],
    ["oracle's labels of 500 wild pictures", "wild pictures without faults"],
    ["oracle's labels of the wild pictures", "renders"],
]
