"""Shams of other scenes for the leak check: the same processing and masks, nothing injected.

See docs/explanation/leak_check.md.
"""

from mmengine.config import read_base

with read_base():
    from .leakcheck import *

source.update(options=dict(count=1200, first_seed=650_000))
corruption.update(sham=True)
# Clean pictures tell whether whole pictures give away how they were processed.
samples.update(clean_share=0.25)
