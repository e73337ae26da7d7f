"""Weak damage under masks that know nothing of the picture: what the leak check trains on.

See docs/explanation/leak_check.md.

`corruption.paste_back` and `corruption.raw_negatives` choose the variant of processing; `make leakcheck` runs all four.
"""

from mmengine.config import read_base

with read_base():
    from .miniworld_once import *

source.update(options=dict(count=600, first_seed=600_000))
# From the paper's start step (40 of 50) this generator mends nearly every region, and unchanged regions stay labelled:
# hardly anything but the processing marks those, so that a detector has most reason to read it.
corruption.update(injection=dict(method="noised", start_step=6), verification=dict(policy="keep"))
samples.update(clean_share=0.2)
region = dict(policy="blobs", options=dict(area=[0.01, 0.1], max_blobs=2))
