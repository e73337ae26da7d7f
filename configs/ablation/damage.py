"""What the ladder's damage is worth for a detector, beside one try a region."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_once import *

title = "Ladder: damage that comes when it is asked for; embedded world"
seeds = [0, 1, 2]
arms = [
    dict(name="once"),
    dict(name="ladder: once, then omit, then duplicate", config="configs/shards/miniworld_ladder.py"),
    # As many samples as one try makes of these sources, so that their worth is told from their number.
    dict(name="ladder, no more samples", config="configs/shards/miniworld_ladder.py", samples=1000),
]
compare = [
    ["ladder: once, then omit, then duplicate", "once"],
    ["ladder, no more samples", "once"],
]
