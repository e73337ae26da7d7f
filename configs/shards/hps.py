"""10,000 pictures drawn from ProGamerGov's DALL-E 3 set (the HPS data of Menn et al. 2025), read from the hub.

    make shards CONFIG=configs/shards/hps.py OUT=out/hps ARGS="--set model.folder=MODEL"

Index the tars once, before the first run (docs/how-to/sources.md). For a run that can be repeated, name a commit after
an @ behind the data set's name; for tars on disk give their brace range. `select.par` and `select.max_par` keep to
pictures in which a detector finds little.
"""

from mmengine.config import read_base

with read_base():
    from .folder import *

source = dict(
    name="webdataset",
    options=dict(
        tars="hf://datasets/ProGamerGov/synthetic-dataset-1m-dalle3-high-quality-captions/data/data-{000000..000068}.tar",
        caption_keys=["short_caption", "original_prompt", "long_caption"],
        licence="MIT",
        select=dict(count=10000, seed=0, min_side=512, max_aspect=1.8),
    ),
)
title = "Blemish shards of DALL-E 3 pictures"
