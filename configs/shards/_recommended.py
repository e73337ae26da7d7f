"""Base: what we recommend: warm passes (fewer, better reconstruction), unchanged regions dropped, clean samples."""

corruption = dict(
    num_grid_steps=50,
    inversion=dict(mode="warm", warm_passes=[3, 5, 2, 1]),
    injection=dict(method="noised", start_step=40),
    # The threshold is not calibrated on these models; the change of every region is in each sample's JSON.
    verification=dict(policy="drop", metric="mean_abs", threshold=4.0),
)
# A selector trained on a hundred labelled pictures: python -m region_select train (configs/region_select/swin_t.py).
region = dict(policy="learned", options=dict(weights="out/region_select/swin_t", tau=0.5))
samples = dict(clean_share=0.2, source_twin=True, sources_per_shard=256)
