"""The embedded world by its flow-matching sibling, as miniworld_once.py, once `blemish world train --flow` has made it.

Its grid has no step that is as noisy as the other's first and not noise alone: the second takes its place. The
other's threshold is this model's too: calibrated in the same way it is 17.5 (docs/how-to/modern_models.md).
"""

from mmengine.config import read_base

with read_base():
    from .miniworld_once import *

model.update(folder="out/miniworld_flow")
corruption["injection"].update(start_step=1)
