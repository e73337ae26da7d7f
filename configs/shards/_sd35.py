"""Base: Stable Diffusion 3.5 medium at 1024 pixels, the transformer in bfloat16 on a card."""

model = dict(
    folder="stabilityai/stable-diffusion-3.5-medium",
    revision="b940f670f0eda2d07fbb75229e779da1ad11eb80",
    licence="stabilityai-ai-community",
)
size = dict(policy="crop", size=1024)
compute = dict(batch_size=8)
