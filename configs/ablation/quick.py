"""The default of `make ablation`: is it the corruption or the masks? Minutes on two cores."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_own import *

title = "Corrupted and merely masked, embedded world"
set = ["source.options.count=512", "source.options.first_seed=500000"]
iterations = 500
limit = 300
arms = [
    dict(
        name="masks alone",
        set=["corruption.sham=True", "corruption.verification.policy='keep'", "corruption.ladder=None"],
    ),
    dict(name="corrupted"),
]
compare = [["corrupted", "masks alone"]]
