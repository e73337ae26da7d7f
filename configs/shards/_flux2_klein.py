"""Base: FLUX.2 klein 4B at 1024 pixels, the transformer in bfloat16 on a card."""

model = dict(
    folder="black-forest-labs/FLUX.2-klein-4B",
    revision="e7b7dc27f91deacad38e78976d1f2b499d76a294",
    licence="apache-2.0",
)
size = dict(policy="crop", size=1024)
compute = dict(batch_size=8)
