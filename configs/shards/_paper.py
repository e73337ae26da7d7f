"""Base: corruption as Menn et al. 2025 have it: ReNoise, every region kept, no clean samples."""

corruption = dict(
    num_grid_steps=50,
    inversion=dict(mode="renoise"),
    injection=dict(method="noised", start_step=40),
    verification=dict(policy="keep"),
)
# The paper's regions come from a selector trained on a hundred labelled pictures; shapes by chance stand in until one
# is named with --set region.policy=... --set region.options=...
region = dict(policy="blobs", options=dict(area=[0.01, 0.15], max_blobs=2))
samples = dict(clean_share=0.0, source_twin=True, sources_per_shard=256)
