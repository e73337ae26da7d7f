"""Base: FLUX.1 schnell at 1024 pixels, the transformer in bfloat16 on a card."""

model = dict(
    folder="black-forest-labs/FLUX.1-schnell",
    revision="741f7c3ce8b383c54771c7003378a50191e9efe9",
    licence="apache-2.0",
)
size = dict(policy="crop", size=1024)
compute = dict(batch_size=4)
