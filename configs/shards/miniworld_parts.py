"""As the default of `make shards`, with regions that know the scene: its things, their parts, and blobs anywhere."""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

region = dict(
    policy="mix",
    options=dict(
        parts=[
            dict(
                policy="scene",
                weight=0.6,
                options=dict(level="parts", max_regions=2, limits=dict(dilation=1, min_area=0.006, max_area=0.2)),
            ),
            dict(
                policy="scene",
                weight=0.2,
                options=dict(level="objects", limits=dict(dilation=1, min_area=0.01, max_area=0.2)),
            ),
            dict(policy="blobs", weight=0.2, options=dict(area=[0.01, 0.1], max_blobs=2)),
        ]
    ),
)
