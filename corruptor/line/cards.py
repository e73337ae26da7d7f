"""Cards that a run may be planned for, and what a model takes of their memory. Nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from corruptor.line.config import ModelConfig
from corruptor.model_zoo import KnownModel

DEFAULT_GPU = "h100"


@dataclass(frozen=True)
class Gpu:
    """Peak and memory of a card, from its maker's data sheet."""

    name: str
    half_tflops: float
    """bfloat16 or float16 with float32 sums, TFLOP/s. TF32, in which float32 convolutions run, is half of it."""
    gigabytes: float


GPUS: dict[str, Gpu] = {
    "h200": Gpu("H200 SXM", 989, 141),
    "h100": Gpu("H100 SXM", 989, 80),
    "a100": Gpu("A100", 312, 80),
    "a6000": Gpu("RTX A6000", 155, 48),
    "a5000": Gpu("RTX A5000", 111, 24),
    "4090": Gpu("RTX 4090", 165, 24),
    "l4": Gpu("L4", 121, 24),
}
USABLE = 0.95
"""Share of a card's memory that is counted on."""
BYTES_OF_QUANTISED = {"": 0.0, "bnb-8bit": 1.0, "torchao-int8": 1.0, "bnb-4bit": 0.56}
"""Of a parameter of the denoiser, with its scales."""
BYTES_A_PIXEL = 4096
"""Of a picture while the VAE decodes it in half precision, at the widest of its maps; twice that in float32. A rough
figure from the shapes (eight maps of 256 channels), not measured."""


@dataclass(frozen=True)
class Memory:
    """Gigabytes on a card at the fullest moment."""

    denoiser: float
    vae: float
    text: float
    text_leaves: bool
    picture: float
    """Of one picture of the batch."""

    def at(self, batch_size: int) -> float:
        """At a batch size. Text encoders that leave are gone when pictures are decoded."""
        pictures = batch_size * self.picture
        fullest = max(self.text, pictures) if self.text_leaves else self.text + pictures
        return self.denoiser + self.vae + fullest


def memory_of(model: ModelConfig, known: KnownModel, height: int, width: int) -> Memory | None:
    """An estimate for a well-known model; None where its size is not known."""
    if known.parameters is None:
        return None
    full = model.dtype == "float32"
    each = 4.0 if full else 2.0
    vae_full = full or model.vae_dtype == "float32" or (known.vae_in_float32 and not model.vae)
    denoiser, text, vae = known.parameters
    leaves = model.text_encoders == "leave" or (model.text_encoders == "auto" and known.large_text)
    return Memory(
        denoiser=denoiser * (BYTES_OF_QUANTISED[model.quantise] or each),
        vae=vae * (4.0 if vae_full else 2.0),
        text=text * (each if known.large_text else 4.0),
        text_leaves=leaves,
        picture=height * width * BYTES_A_PIXEL * (2 if vae_full else 1) / 1e9,
    )


def memory_line(memory: Memory, batch_size: int) -> str:
    """In words: what is needed, and which cards have it."""
    fitting = {
        at: [gpu.name for gpu in GPUS.values() if memory.at(at) <= USABLE * gpu.gigabytes] for at in (batch_size, 1)
    }
    alone = [name for name in fitting[1] if name not in fitting[batch_size]]
    return (
        f"memory of the card: about {memory.at(batch_size):.3g} GB in batches of {batch_size} (denoiser "
        f"{memory.denoiser:.3g}, VAE {memory.vae:.2g}, text encoders {memory.text:.3g}"
        f"{' that leave it after use' if memory.text_leaves else ''}, a picture {memory.picture:.2g}), estimated; "
        f"enough have {', '.join(fitting[batch_size]) or 'none of the known cards'}"
        + (f"; one picture at a time also {', '.join(alone)}" if alone else "")
    )
