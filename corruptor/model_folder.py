"""What a model's folder from outside may say, checked before diffusers and transformers read it.

They import what a folder's JSON names (other libraries, other code, kernels, ways to quantise), load pickled weights
where an index of weights names such a file, and build as many layers as a number says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from shards.errors import SchemaError
from shards.guard.json_text import RECORD, TABLE, read_object
from shards.guard.plain_file import read_plain

TOKENIZERS = (
    None,
    *("CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"),
    *("T5Tokenizer", "T5TokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast"),
)
LIBRARIES = (None, "diffusers", "transformers", "stable_diffusion")
"""Where the classes of a pipeline's parts are; the last is a folder of diffusers."""
CODE = ("auto_map", "quantization_config", "attn_implementation", "trust_remote_code")
"""Keys of a config, with or without `_` in front, that make a library import or fetch something."""
COUNTS = ("layers_per_block", "transformer_layers_per_block", "num_hidden_layers", "num_layers")
MOST_LAYERS, MOST_ITEMS, MOST, MOST_TIMESTEPS = 128, 64, 1 << 24, 100_000


def check_index(path: Path) -> None:
    """model_index.json: parts are classes of diffusers and transformers. Raises ValueError."""
    for name, value in read_object(path).items():
        if isinstance(value, list) and (not value or value[0] not in LIBRARIES):
            raise ValueError(
                f"{path}: the part {name!r} is {str(value)[:80]}, which is not of diffusers or transformers"
            )


def check_network(path: Path) -> None:
    """config.json of a network: it names no code, and its numbers are those of a network. Raises ValueError."""
    config = read_object(path)
    refuse_code(path, config)
    if (path.parent / "adapter_config.json").exists():
        raise ValueError(
            f"{path.parent} holds an adapter_config.json, which names another model; merge it or remove it"
        )
    for name, value in config.items():
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) > MOST_ITEMS:
            raise ValueError(f"{path}: {name!r} has {len(numbers)} values; at most {MOST_ITEMS} are taken")
        most = MOST_LAYERS if name in COUNTS else MOST
        for number in numbers:
            if isinstance(number, int) and number > most:
                raise ValueError(f"{path}: {name!r} is {number}; at most {most} is taken")


def check_tokenizer(folder: Path, kinds: Sequence[str | None] = TOKENIZERS) -> None:
    """A tokenizer's JSON files: of a kind that is known to be data alone. Raises ValueError."""
    for path in sorted(folder.glob("*.json")):
        if path.name != "tokenizer_config.json":
            read_object(path, limits=TABLE)
            continue
        # By hand: transformers writes 10**30 for "any length", more than the 64 bits of other numbers.
        try:
            config = json.loads(read_plain(path, RECORD.max_bytes))
            kind = config.get("tokenizer_class")
        except (OSError, ValueError, RecursionError, AttributeError) as error:
            raise ValueError(f"{path} cannot be read ({type(error).__name__}); fetch it again") from error
        refuse_code(path, config)
        if kind not in kinds:
            allowed = ", ".join(filter(None, kinds))
            raise ValueError(f"{path}: tokenizer_class is {str(kind)[:80]!r}; allowed are {allowed}")


def check_scheduler(path: Path) -> dict[str, Any]:
    """scheduler_config.json: a schedule of a bounded number of timesteps; returns it. Raises ValueError."""
    config = read_object(path)
    refuse_code(path, config)
    timesteps = config.get("num_train_timesteps", 1000)
    if not isinstance(timesteps, int) or not 1 <= timesteps <= MOST_TIMESTEPS:
        raise ValueError(f"{path}: num_train_timesteps is {str(timesteps)[:40]}; allowed are 1 to {MOST_TIMESTEPS}")
    return config


def check_pieces(path: Path, pieces: Iterable[Path]) -> None:
    """The index of weights in several files: they are the safetensors files beside it. Raises ValueError."""
    names = {piece.name for piece in pieces}
    weights = read_object(path, limits=TABLE).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise SchemaError(f"{path} has no weight_map; fetch it again")
    strange = sorted(str(name) for name in weights.values() if not isinstance(name, str) or name not in names)
    if strange:
        raise SchemaError(f"{path} names {strange[0][:80]!r}, which is no safetensors file beside it; fetch it again")


def refuse_code(path: Path, config: dict[str, Any]) -> None:
    """Raises ValueError for a config that names code."""
    named = [key for key, value in config.items() if key.strip("_") in CODE and value not in (None, False)]
    if named:
        raise ValueError(f"{path}: {named[0]!r} makes a library import or fetch code, which is not done; remove it")
