"""A folder of pictures and a Stable-Diffusion-class model at 512 pixels.

    make shards CONFIG=configs/shards/folder.py OUT=out/mine \
        ARGS="--set source.options.root=PICTURES --set model.folder=MODEL"

PICTURES: any mix of formats and sizes, with an optional .txt caption beside each. MODEL: a pipeline folder or a hub id.
"""

source = dict(name="folder", options=dict(root="pictures"))
size = dict(policy="crop", size=512)
model = dict(folder="models/stable-diffusion-v1-5")
region = dict(policy="blobs", options=dict(area=[0.01, 0.15], max_blobs=2))
samples = dict(clean_share=0.2, source_twin=True, sources_per_shard=64)
compute = dict(batch_size=8)
