"""Base: SDXL at 1024 pixels. Its own VAE overflows in float16 and therefore runs in float32."""

model = dict(
    folder="stabilityai/stable-diffusion-xl-base-1.0",
    revision="462165984030d82259a11f4367a4eed129e94a7b",
    licence="openrail++",
    variant="fp16",
)
size = dict(policy="crop", size=1024)
compute = dict(batch_size=8)
