"""Base: Stable Diffusion 1.5 at 512 pixels."""

model = dict(
    folder="stable-diffusion-v1-5/stable-diffusion-v1-5",
    revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    licence="creativeml-openrail-m",
)
size = dict(policy="crop", size=512)
compute = dict(batch_size=32)
