"""The default of `make shards`: rendered scenes, damaged by the generator that comes with this package."""

seed = 0
source = dict(name="miniworld", options=dict(count=384))
size = dict(policy="none")
model = dict(folder="miniworld/weights", licence="Apache-2.0")
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
corruption = dict(
    inversion=dict(mode="warm", warm_passes=[2, 3, 1]),
    # Where most masked regions really break and damage stays inside (docs/corruption.md); the paper's step is 40.
    injection=dict(method="noised", start_step=20),
    verification=dict(policy="drop", metric="mean_abs", threshold=10.0),
)
samples = dict(clean_share=0.2, source_twin=True, sources_per_shard=64)
compute = dict(batch_size=32)
title = "Blemish miniworld"
licence = "Apache-2.0"
