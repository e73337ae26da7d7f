"""What a denoiser is told besides latents and timestep, and how Stable Diffusion makes it of a prompt.

Legend: B rows, L tokens, D embedding width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Prompts as the denoiser takes them; row i belongs to image i."""

    hidden_BLD: Tensor
    """Text encoder states, in the denoiser's dtype."""
    added: Mapping[str, Tensor] = field(default_factory=dict)
    """What else a family gives its denoiser of the text, each (B, ...)."""

    def rows(self, index: Sequence[int]) -> Conditioning:
        """The conditioning of some rows, in that order."""
        rows = list(index)
        return self.each(lambda value: value[rows])

    def repeated(self, num: int) -> Conditioning:
        """A single row as a batch of `num`."""
        return self.each(lambda value: value.expand(num, *value.shape[1:]))

    def each(self, change: Any) -> Conditioning:
        """The same with every tensor changed."""
        return Conditioning(change(self.hidden_BLD), {name: change(value) for name, value in self.added.items()})

    @staticmethod
    def join(parts: Sequence[Conditioning]) -> Conditioning:
        """Several conditionings as one batch."""
        names = parts[0].added.keys()
        added = {name: torch.cat([part.added[name] for part in parts]) for name in names}
        return Conditioning(torch.cat([part.hidden_BLD for part in parts]), added)


def embed_clip(parts: Mapping[str, Any], prompt: str) -> Conditioning:
    """Last hidden state of one CLIP text encoder (SD 1.x, 2.x; 2.x has its last layer cut off on disk)."""
    tokenizer, encoder = parts["tokenizer"], parts["text_encoder"]
    return Conditioning(encoder(token_ids(tokenizer, encoder, prompt))[0].float())


def embed_two_clips(parts: Mapping[str, Any], prompt: str) -> Conditioning:
    """SDXL: the last but one hidden states of both encoders side by side, and the second's pooled projection."""
    hidden, pooled = [], None
    for suffix in ("", "_2"):
        encoder = parts[f"text_encoder{suffix}"]
        tokens = token_ids(parts[f"tokenizer{suffix}"], encoder, prompt)
        output = encoder(tokens, output_hidden_states=True)
        hidden.append(output.hidden_states[-2].float())
        pooled = output[0]
    assert pooled is not None
    return Conditioning(torch.cat(hidden, dim=-1), {"text_embeds": pooled.float()})


def size_ids(height: int, width: int) -> tuple[int, ...]:
    """SDXL's six numbers (Podell et al. 2023, 2.2): original size, crop corner, target size; nothing cropped."""
    return (height, width, 0, 0, height, width)


def token_ids(tokenizer: Any, encoder: Any, prompt: str, length: int = 0) -> Tensor:
    """Token ids (1, L), padded to L = `length` or the encoder's full length, as in training; the rest is cut."""
    length = length or most_tokens(tokenizer, encoder)
    tokens = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    ids: Tensor = tokens.input_ids.to(encoder.device)
    return ids


def most_tokens(tokenizer: Any, encoder: Any) -> int:
    """Tokens that a text encoder with numbered places has room for."""
    return int(min(tokenizer.model_max_length, encoder.config.max_position_embeddings))
