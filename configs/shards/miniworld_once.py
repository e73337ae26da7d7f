"""Rendered scenes, each damaged once by the generator that comes with this package: what did not break is a reject."""

seed = 0
source = dict(name="miniworld", options=dict(count=576))
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
# and 8 steps break no less than 50 (docs/evidence/corruption.md).
corruption = dict(
    inversion=dict(mode="warm", warm_passes=[1]),
    num_grid_steps=8,
    injection=dict(method="noised", start_step=0),
    resampling=dict(blend=True),
    verification=dict(policy="tighten", metric="mean_abs", threshold=18.0, pixel_threshold=14.0),
)
# The captions of this world tell every word of its signs, so that a region would be made anew as it was: misspell.
# Regions that do not change enough are dropped, and more than half of the sources with them: a tenth of the sources
# makes a fifth of the samples.
samples = dict(clean_share=0.1, misspell=True, source_twin=True, sources_per_shard=64)
compute = dict(batch_size=32)
