"""The embedded world by its flow-matching sibling, once `blemish world train --flow` has made it.

Its grid has no step that is as noisy as the default's first and not noise alone: the second takes its place. The
default's threshold is this model's too: calibrated as for the default it is 17.5 (docs/how-to/modern_models.md).
"""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

model.update(folder="out/miniworld_flow")
corruption["injection"].update(start_step=1)
