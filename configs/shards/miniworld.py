"""The default of `make shards`: rendered scenes, damaged by the generator that comes with this package."""

seed = 0
source = dict(name="miniworld", options=dict(count=448))
size = dict(policy="none")
model = dict(folder="miniworld/weights", licence="Apache-2.0", channels_last=True)
region = dict(
    policy="learned",
    options=dict(
        weights="region_select/weights/swin_mini.safetensors",
        tau=0.4,
        fallback="hottest",
        limits=dict(dilation=1, min_component_area=0.006, min_area=0.006, max_area=0.3),
    ),
)
# This generator mends most of what starts late, or what may drift along with its surroundings. Here a region is made
# anew from almost nothing, beside latents that stay as they were inverted: one pass a step inverts well enough for it,
# and 8 steps break no less than 50 (docs/corruption.md).
corruption = dict(
    inversion=dict(mode="warm", warm_passes=[1]),
    num_grid_steps=8,
    injection=dict(method="noised", start_step=0),
    resampling=dict(blend=True),
    verification=dict(policy="drop", metric="mean_abs", threshold=14.0),
)
# Regions that do not change enough are dropped, and four sources in ten with them: 13% of the sources make a fifth of
# the samples.
samples = dict(clean_share=0.13, source_twin=True, sources_per_shard=64)
compute = dict(batch_size=32)
title = "Blemish miniworld"
licence = "Apache-2.0"
