"""Weights to start from: a local file or a hub id, in the naming of mmseg, mmpretrain, transformers or ours.

The published starts are UPerNet on ADE20K: mmseg's model zoo (`.pth`), and the hub's openmmlab/upernet-swin-tiny and
openmmlab/upernet-convnext-tiny. The classifiers (`conv_seg`) have other classes and stay random.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from detector.checkpoint import INDEX
from detector.errors import CheckpointError
from detector.tensors import Tensors, read_tensors
from shards.config import INSTALLED
from shards.errors import MissingInputError
from shards.files import hash_file

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class InitialOptions:
    """The config line `initialise`."""

    source: str
    """A .safetensors or .pth file (as named, or beside the installed packages), or a hub id."""
    part: Literal["backbone", "all", "whole"] = "all"
    """all: everything but the classifiers. backbone: the heads stay random too. whole: the classifiers as well, where a
    detector of the same classes is trained further."""
    revision: str = "main"
    """Of a hub id: a branch, tag or commit."""
    make: str = ""
    """The command that makes the file, told where it is missing."""


@dataclass(frozen=True)
class Initial:
    """Where weights to start from lie, and what they are."""

    path: Path
    part: str
    sha256: str


def find_initial(options: InitialOptions, segmenter: bool = False) -> Initial:
    """Resolve the source to a file; `segmenter`: to a file or a folder of transformers, for a network of queries.

    Raises MissingInputError that names the command to make or fetch it.
    """
    if segmenter:
        return find_network(options)
    for candidate in (Path(options.source), INSTALLED / options.source):
        if candidate.is_file():
            return Initial(candidate, options.part, hash_file(candidate))
    if HUB_ID.fullmatch(options.source) and not options.source.endswith((".pth", ".safetensors", ".bin")):
        path = from_hub(options.source, options.revision)
        return Initial(path, options.part, hash_file(path))
    mend = f"make it with `{options.make}`" if options.make else "name a .safetensors or .pth file, or a hub id"
    raise MissingInputError(f"initialise.source {options.source} does not exist; {mend}")


def find_network(options: InitialOptions) -> Initial:
    from detector.rejection.hub import find_segmenter, fingerprint_of

    try:
        path = find_segmenter(options.source, options.revision)
    except MissingInputError as error:
        raise MissingInputError(f"{error}; or make it with `{options.make}`" if options.make else str(error)) from error
    return Initial(path, options.part, fingerprint_of(path))


def from_hub(name: str, revision: str) -> Path:
    """The weights of a hub id, from this machine's cache or fetched. Raises MissingInputError."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries; the outcome is told below
    reason = ""
    for local in (True, False):
        for file in HUB_FILES:
            try:
                return Path(hf_hub_download(name, file, revision=revision, local_files_only=local))
            except Exception as error:  # the hub raises its own, the network's and the system's errors
                reason = type(error).__name__
                absent = isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)
                if not (local or absent):
                    break  # without a network the second name would fail as slowly as the first
    raise MissingInputError(
        f"{name} is not on this machine and could not be fetched ({reason}); on a machine with a network run "
        f"`hf download {name} --revision {revision}`, or start without: --set initialise=None"
    )


def initialise_model(model: Any, initial: Initial) -> list[str]:
    """Put the weights into the model; returns the names that stayed random.

    Raises CheckpointError where anything but the classifiers (and, for part `backbone`, the heads) finds no weights.
    """
    tensors = read_start(initial.path)
    named = to_ours(tensors)
    wanted = model.state_dict()
    used, random = {}, []
    for name, own in wanted.items():
        belongs = initial.part in ("all", "whole") or name.startswith("backbone.")
        # From the classes, from the window size.
        follows = (".conv_seg." in name and initial.part != "whole") or name.endswith(INDEX)
        given = named.get(name) if belongs and not follows else None
        if given is not None and given.shape == own.shape:
            used[name] = given
        elif belongs and not follows:
            why = "is missing" if given is None else f"is {tuple(given.shape)}, the model has {tuple(own.shape)}"
            raise CheckpointError(f"{initial.path} belongs to another architecture: {name} {why}")
        else:
            random.append(name)
    model.load_state_dict(used, strict=False)
    return random


def read_start(path: Path) -> Tensors:
    """Tensors of a file, or of a folder of transformers."""
    if not path.is_dir():
        return read_tensors(path)[0]
    from detector.rejection.hub import read_segmenter

    return read_segmenter(path)[0]


def to_ours(tensors: Tensors) -> Tensors:
    """Names of any of the four namings -> ours (mmseg's, and transformers' below `backbone.model.` for ConvNeXt)."""
    names = tensors.keys()
    if any(name.startswith(("backbone.embeddings.", "backbone.swin.")) for name in names):
        is_swin = any(".blocks." in name for name in names)
        return swin_from_hub(tensors) if is_swin else rename(tensors, HUB_HEADS + HUB_CONVNEXT)
    if any(name.startswith("backbone.downsample_layers.") for name in names):
        return rename(tensors, MMPRETRAIN_CONVNEXT)
    return tensors


HUB_HEADS = [
    (r"^((?:decode|auxiliary)_head\..*)\.batch_norm\.", r"\1.bn."),
    (r"^((?:decode|auxiliary)_head)\.classifier\.", r"\1.conv_seg."),
]
HUB_CONVNEXT = [(r"^backbone\.", "backbone.model.")]
MMPRETRAIN_CONVNEXT = [
    (r"^backbone\.downsample_layers\.0\.0\.", "backbone.model.embeddings.patch_embeddings."),
    (r"^backbone\.downsample_layers\.0\.1\.", "backbone.model.embeddings.layernorm."),
    (r"^backbone\.downsample_layers\.(\d)\.", r"backbone.model.encoder.stages.\1.downsampling_layer."),
    (r"^backbone\.stages\.(\d)\.(\d+)\.depthwise_conv\.", r"backbone.model.encoder.stages.\1.layers.\2.dwconv."),
    (r"^backbone\.stages\.(\d)\.(\d+)\.norm\.", r"backbone.model.encoder.stages.\1.layers.\2.layernorm."),
    (r"^backbone\.stages\.(\d)\.(\d+)\.pointwise_conv(\d)\.", r"backbone.model.encoder.stages.\1.layers.\2.pwconv\3."),
    (r"^backbone\.stages\.(\d)\.(\d+)\.gamma$", r"backbone.model.encoder.stages.\1.layers.\2.layer_scale_parameter"),
    (r"^backbone\.norm0\.", "backbone.model.hidden_states_norms.stage1."),
    (r"^backbone\.norm1\.", "backbone.model.hidden_states_norms.stage2."),
    (r"^backbone\.norm2\.", "backbone.model.hidden_states_norms.stage3."),
    (r"^backbone\.norm3\.", "backbone.model.hidden_states_norms.stage4."),
]
BLOCK = r"^backbone\.encoder\.layers\.(\d)\.blocks\.(\d+)\."
HUB_SWIN = [
    (r"^backbone\.swin\.", "backbone."),
    (r"^backbone\.embeddings\.patch_embeddings\.", "backbone.patch_embed."),
    (r"^backbone\.embeddings\.norm\.", "backbone.patch_embed.norm."),
    (BLOCK + r"layernorm_before\.", r"backbone.stages.\1.blocks.\2.norm1."),
    (BLOCK + r"layernorm_after\.", r"backbone.stages.\1.blocks.\2.norm2."),
    (BLOCK + r"attention\.self\.relative", r"backbone.stages.\1.blocks.\2.attn.w_msa.relative"),
    (BLOCK + r"attention\.self\.(query|key|value)\.", r"backbone.stages.\1.blocks.\2.attn.w_msa.\3."),
    (BLOCK + r"attention\.output\.dense\.", r"backbone.stages.\1.blocks.\2.attn.w_msa.proj."),
    (BLOCK + r"intermediate\.dense\.", r"backbone.stages.\1.blocks.\2.ffn.layers.0.0."),
    (BLOCK + r"output\.dense\.", r"backbone.stages.\1.blocks.\2.ffn.layers.1."),
    (r"^backbone\.encoder\.layers\.(\d)\.downsample\.", r"backbone.stages.\1.downsample."),
    (r"^backbone\.hidden_states_norms\.stage1\.", "backbone.norm0."),
    (r"^backbone\.hidden_states_norms\.stage2\.", "backbone.norm1."),
    (r"^backbone\.hidden_states_norms\.stage3\.", "backbone.norm2."),
    (r"^backbone\.hidden_states_norms\.stage4\.", "backbone.norm3."),
]


def rename(tensors: Tensors, rules: list[tuple[str, str]]) -> Tensors:
    """Every rule in turn, on every name."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, ours in rules:
            name = re.sub(pattern, ours, name)
        renamed[name] = tensor
    return renamed


def swin_from_hub(tensors: Tensors) -> Tensors:
    """transformers keeps query, key and value apart, and gathers the four pixels of a patch merge in another order."""
    named = rename(tensors, HUB_HEADS + HUB_SWIN)
    for name in [n for n in named if ".w_msa.query." in n]:
        parts = [named.pop(name.replace(".query.", f".{part}.")) for part in ("query", "key", "value")]
        named[name.replace(".query.", ".qkv.")] = torch.cat(parts)
    for name in [n for n in named if ".downsample." in n]:
        named[name] = merge_order(named[name])
    return named


def merge_order(tensor: torch.Tensor) -> torch.Tensor:
    """[.., 4 * C], pixels (0,0), (1,0), (0,1), (1,1) outermost -> channels outermost, the four pixels row by row."""
    four = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return four.transpose(-1, -2).flatten(-2)
