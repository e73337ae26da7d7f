"""The closed world with the generator's own pictures as sources: those that the oracle's arm has labels of."""

from mmengine.config import read_base

with read_base():
    from .closed_world import *

title = "The closed world, wild sources"
set = ["region.options.limits={'min_component_area': 0.002}"]
for arm in arms[1:4]:
    arm["sources"] = "wild-train"
del arm
