"""A folder of pictures, a Stable-Diffusion-class model and no labels: an open-vocabulary model says where to damage.

    make shards CONFIG=configs/shards/no_labels.py OUT=out/mine \
        ARGS="--set source.options.root=PICTURES --set model.folder=MODEL"

What does not break at the weakest strength is tried again, up to start step 20 of 50, and at last doubled: of what was
tried in the embedded world that makes the best detectors (docs/evidence/ladder.md). Strengths and threshold are not
calibrated on these models: look at a preview (--preview 24) first.
"""

from mmengine.config import read_base

with read_base():
    from .folder import *

model.update(folder="stable-diffusion-v1-5/stable-diffusion-v1-5")
region = dict(
    policy="prompted",
    options=dict(
        model="google/owlv2-base-patch16-ensemble",
        phrases=["face", "hand", "finger", "text", "eye", "wheel"],
        least=0.2,
        max_regions=2,
    ),
)
corruption = dict(
    num_grid_steps=50,
    inversion=dict(mode="warm", warm_passes=[3, 5, 2, 1]),
    injection=dict(method="noised", start_step=40),
    verification=dict(policy="drop", metric="mean_abs", threshold=4.0),
    ladder=dict(floor=20, stride=5, until="one", last=["duplicate"], last_steps=[38]),
)
