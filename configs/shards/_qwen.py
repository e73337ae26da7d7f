"""Base: Qwen-Image at 1024 pixels, the transformer in bfloat16 on a card."""

model = dict(
    folder="Qwen/Qwen-Image",
    revision="75e0b4be04f60ec59a75f475837eced720f823b6",
    licence="apache-2.0",
)
size = dict(policy="crop", size=1024)
compute = dict(batch_size=2)
