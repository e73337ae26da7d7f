"""The closed world at full length: what is left of the distance to the oracle's labels, and at what false alarms."""

from mmengine.config import read_base

with read_base():
    from .closed_world import *
    from ._long import *  # isort: skip  its length in place of the world's

title = "The closed world at full length"
backbones = ["swin_mini"]
tests["balanced"] = "miniworld/sets/v1/wild-balanced"
arms = [arm for arm in arms if arm["name"] != "random masks + corruption"]
compare = [
    ["pseudo labels + corruption", "pseudo labels"],
    ["pseudo labels + corruption", "100 labels"],
    ["pseudo labels", "100 labels"],
    ["oracle labels", "pseudo labels"],
    ["pseudo labels + corruption", "oracle labels"],
]
