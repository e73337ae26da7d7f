"""Base: corruption as Menn et al. 2025 have it: ReNoise, every region kept, no clean samples."""

corruption = dict(
    num_grid_steps=50,
    inversion=dict(mode="renoise"),
    injection=dict(method="noised", start_step=40),
    verification=dict(policy="keep"),
)
# A selector trained on a hundred labelled pictures: python -m region_select train (configs/region_select/swin_t.py).
region = dict(policy="learned", options=dict(weights="out/region_select/swin_t", tau=0.5))
samples = dict(clean_share=0.0, source_twin=True, sources_per_shard=256)
