"""Where a model's files are: a local folder, a single file, or the hub. Nothing is loaded here.

A hub id is fetched at a pinned commit, only the files that are needed, never pickled weights and never code. Without a
network the error names the command that fetches it elsewhere.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corruptor.families.family import VAE, Family
from corruptor.families.table import FAMILIES
from corruptor.model_zoo import KNOWN
from shards.guard.plain_file import size_of

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")
LOCAL = frozenset(("models", "weights", "checkpoints", "out", "data", "miniworld"))
"""Names of folders, which nobody means as the owner of a hub id."""
PICKLED = (".ckpt", ".bin", ".pt", ".pth", ".pkl")
VARIANTS = ("", "fp16")
MAX_CARD = 1 << 20
"""Bytes of a model card that is read."""


@dataclass(frozen=True)
class Located:
    """A model on this disk."""

    folder: Path
    """Pipeline folder: configs, and weights unless `file` has them."""
    model_id: str
    revision: str = ""
    """Commit of a hub id."""
    licence: str = ""
    file: Path | None = None
    """The single .safetensors file."""
    fetch: str = ""
    """The command that fetches a hub id whole."""


def locate(name: str | Path, revision: str = "", config: str = "", variant: str = "") -> Located:
    """Finds a model; a hub id is fetched unless it lies in the cache.

    Args:
        name: pipeline folder, single .safetensors file, or hub id owner/name.
        revision: of a hub id; "" takes the pinned one of a well-known model, else the newest.
        config: for a single file, the folder with its family's configs and tokenizers.
        variant: `fp16` fetches the half-precision weights of a hub id, half as many bytes.

    Raises FileNotFoundError, or ValueError for pickled files.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}; allowed are '' and 'fp16'")
    path = Path(name)
    if path.is_dir():
        return Located(path, str(name), revision, licence_of(path))
    if path.suffix in PICKLED:
        raise ValueError(f"{name} is a pickled file, which is not loaded; convert it to .safetensors")
    if path.suffix == ".safetensors":
        return _locate_file(path, revision, config)
    refuse_local(str(name))
    return fetch(str(name), revision, pipeline_patterns(str(name), variant))


def refuse_local(name: str) -> None:
    """Tell a folder that is not here from a hub id. Raises FileNotFoundError for the former."""
    if not HUB_ID.fullmatch(name) or name.partition("/")[0] in LOCAL:
        raise FileNotFoundError(
            f"no model folder {name}: give a folder in diffusers format, a .safetensors file, or a hub id owner/name "
            f"with model.folder=..., such as {next(iter(KNOWN))}"
        )


def locate_vae(name: str, revision: str = "") -> Located:
    """Finds a VAE of its own: a folder with its config.json, a pipeline folder (its vae/), or a hub id.

    Raises FileNotFoundError.
    """
    path = Path(name)
    if path.is_dir():
        folder = path if (path / "config.json").is_file() else path / "vae"
        return Located(folder, name, revision, licence_of(path))
    if not HUB_ID.fullmatch(name):
        raise FileNotFoundError(f"no VAE folder {name}: give a folder with config.json, or a hub id owner/name")
    return fetch(name, revision, ["config.json", f"{VAE.weights}.safetensors", "README.md"])


def _locate_file(path: Path, revision: str, config: str) -> Located:
    if not path.is_file():
        raise FileNotFoundError(f"no model file {path}")
    if not config or not Path(config).is_dir():
        example = "stable-diffusion-v1-5/stable-diffusion-v1-5"
        command = fetch_command(example, KNOWN[example].revision, config_patterns(FAMILIES["sd"]))
        found = f"config {config} is no folder" if config else "no config folder was given"
        raise FileNotFoundError(
            f"a single file needs the configs and tokenizers of its family, and {found}: set model.config to one, "
            f"such as the folder that this makes: {command} --local-dir DIR"
        )
    return Located(Path(config), str(path), revision, licence_of(Path(config)), path)


def config_patterns(family: Family) -> list[str]:
    """Everything of a family's pipeline folder but the weights."""
    tokenizers = [f"{name}/*" for name in family.tokenizers]
    return ["model_index.json", "scheduler/*.json", *tokenizers, *(f"{name}/config.json" for name in family.models)]


def pipeline_patterns(repo: str, variant: str = "") -> list[str]:
    """Files to fetch of a hub id: its family's, or every family's where it is not known."""
    known = KNOWN.get(repo)
    families = [FAMILIES[known.family]] if known else list(FAMILIES.values())
    ending = f".{variant}.safetensors" if variant else ".safetensors"
    wanted = ["README.md"]
    for family in families:
        wanted += config_patterns(family)
        wanted += [f"{name}/{part.weights}{ending}" for name, part in family.models.items()]
        if not known or known.pieces:
            for name, part in family.models.items():
                stem = f"{name}/{part.weights}"
                wanted += [f"{stem}-*.safetensors", f"{stem}.safetensors.index.json"]
    return list(dict.fromkeys(wanted))


def fetch_command(repo: str, revision: str, patterns: Sequence[str]) -> str:
    """The shell command that puts these files into the hub's cache."""
    at = ["--revision", revision] if revision else []
    includes = [word for pattern in patterns for word in ("--include", pattern)]
    return shlex.join(["hf", "download", repo, *at, *includes])


def fetch(repo: str, revision: str, patterns: Sequence[str]) -> Located:
    """A hub id from the cache or the hub. Raises FileNotFoundError with the command that fetches it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    known = KNOWN.get(repo)
    revision = revision or (known.revision if known else "")
    command = fetch_command(repo, revision, patterns)
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, allow_patterns=list(patterns)))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise FileNotFoundError(
            f"{repo} is neither a folder here nor could it be fetched from the hub ({type(error).__name__}); "
            f"where there is a network: {command}"
        ) from error
    commit = folder.name if COMMIT.fullmatch(folder.name) else revision
    licence = known.licence if known else licence_of(folder)
    return Located(folder, repo, commit, licence, fetch=command)


def licence_of(folder: Path) -> str:
    """What the model card in a folder says, or ""."""
    from huggingface_hub.repocard import metadata_load

    card = folder / "README.md"
    try:
        told: object = (metadata_load(card) or {}) if 0 <= size_of(card) <= MAX_CARD else {}
    except Exception:  # a card is prose with a header by hand: whatever is wrong with it, it names no licence
        return ""
    if not isinstance(told, dict):
        return ""
    licence = told.get("license_name") if told.get("license") in (None, "other") else told.get("license")
    return str(licence or "")
