"""The default of `make shards`: rendered scenes, damaged by the generator that comes with this package."""

seed = 0
source = dict(name="miniworld", options=dict(count=544))
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
    inversion=dict(mode="warm", warm_passes=[3, 5, 2, 1]),
    # Step 6 of 25 is the noise of step 12 of 50 at half the passes. The generator mends most of what starts later; the
    # threshold is still the one chosen at step 10 with an earlier generator (docs/corruption.md).
    num_grid_steps=25,
    injection=dict(method="noised", start_step=6),
    verification=dict(policy="drop", metric="mean_abs", threshold=14.0),
)
# Regions that do not change enough are dropped, about half: one source in eleven makes a fifth of the samples.
samples = dict(clean_share=0.09, source_twin=True, sources_per_shard=64)
compute = dict(batch_size=32)
title = "Blemish miniworld"
licence = "Apache-2.0"
