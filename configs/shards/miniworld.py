"""The default of `make shards`: rendered scenes, damaged by the generator that comes with this package.

What does not break when it is drawn anew is doubled: a second face or car beside the first, nearly a copy, which does
not fit in. So four of five sources become samples, at fewer passes each, and detectors that learn from them are better
(docs/evidence/ladder.md).
"""

from mmengine.config import read_base

with read_base():
    from .miniworld_once import *

corruption.update(ladder=dict(floor=0, last=["duplicate"], last_steps=[6]))
