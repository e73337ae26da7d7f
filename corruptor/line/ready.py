"""Whether the model of a config is here, found out without loading it and without the network."""

from __future__ import annotations

from pathlib import Path

from corruptor.hub import pipeline_patterns, refuse_local
from corruptor.known import KNOWN
from corruptor.line.config import ModelConfig
from shards.config import INSTALLED


def model_remark(model: ModelConfig) -> str:
    """What is missing of the model, as a line that begins with NOT READY; of what the hub may have, that it will be
    fetched. "" where everything is here."""
    name = model.folder
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            return f"NOT READY: no model file {name}; give one with model.folder=FILE"
        whole = bool(model.config) and Path(model.config).is_dir()
        return "" if whole else "NOT READY: a single file needs its family's configs: model.config=DIR"
    for folder in (Path(name), INSTALLED / name):
        if folder.is_dir():
            whole = (folder / "model_index.json").is_file()
            return "" if whole else f"NOT READY: {folder} has no model_index.json; name a pipeline: model.folder=DIR"
    try:
        refuse_local(name)
    except FileNotFoundError as error:
        return f"NOT READY: {error}"
    return hub_remark(model)


def hub_remark(model: ModelConfig) -> str:
    """Of a hub id: whether its files are in the cache."""
    from huggingface_hub import constants, snapshot_download

    known = KNOWN.get(model.folder)
    revision = model.revision or (known.revision if known else None)
    patterns = pipeline_patterns(model.folder, model.variant)
    try:
        snapshot_download(model.folder, revision=revision, allow_patterns=patterns, local_files_only=True)
    except (OSError, ValueError):
        if constants.HF_HUB_OFFLINE:
            return f"NOT READY: model {model.folder} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it"
        return f"model {model.folder} is not in the hub's cache and will be fetched"
    return ""
