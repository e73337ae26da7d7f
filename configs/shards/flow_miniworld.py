"""The embedded world by its flow-matching sibling, once `blemish world train --flow` has made it.

Its grid has no step that is as noisy as the default's first and not noise alone: the second takes its place.
"""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

model.update(folder="out/miniworld_flow")
corruption["injection"].update(start_step=1)
