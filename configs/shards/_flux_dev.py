"""Base: FLUX.1 dev at 1024 pixels, the transformer in bfloat16 on a card."""

model = dict(
    folder="black-forest-labs/FLUX.1-dev",
    revision="3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
    licence="flux-1-dev-non-commercial-license",
)
size = dict(policy="crop", size=1024)
compute = dict(batch_size=4)
