"""A checkpoint as the one file that other trainings start from, and that can be shipped."""

from __future__ import annotations

from pathlib import Path

from detector.checkpoint import fitted, write_tensors
from detector.errors import CheckpointError
from detector.tensors import read_tensors
from shards.errors import ConfigError


def export(checkpoint: Path, out: Path, half: bool = False, config: str | None = None) -> str:
    """Write the weights with their card to `out`; returns a line about it.

    out: a .safetensors file, or for a network of queries also a folder as transformers reads it.
    half: 16-bit floats. config: what a checkpoint without a card is.

    Raises MissingInputError, CheckpointError (damaged, another architecture than its card), ConfigError, OutputError.
    """
    if out.suffix not in ("", ".safetensors"):
        raise ConfigError(f"--out {out} must end in .safetensors, or be a folder for a network of queries")
    tensors, card = read_tensors(checkpoint)
    if config is not None:
        from detector.train import card_of_config

        card = card_of_config(config)
    if card is None:
        raise CheckpointError(f"{checkpoint} does not say what model it is; name its config with --config")
    fitted(card, tensors, checkpoint)
    if not out.suffix:
        from detector.rejection.folder import write_folder

        return write_folder(out, card, tensors, half)
    write_tensors(out, tensors, card, half=half)
    return f"{out}: {len(tensors)} tensors, {out.stat().st_size / 1e6:.1f} MB"
