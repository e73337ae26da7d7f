"""Hub ids without a hub: what is asked for, what is recorded, and what is said where there is no network."""

from __future__ import annotations

import shlex
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from diffusers import FluxTransformer2DModel
from tiny_flow import make_flux
from tiny_models import make_sdxl

from corruptor.backbone import load_backbone
from corruptor.families.table import FAMILIES
from corruptor.hub import locate, pipeline_patterns
from corruptor.line.config import SamplesConfig
from corruptor.model_zoo import KNOWN

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
PINNED = KNOWN[SDXL].revision


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The real client, told that there is no network, with an empty cache."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


def command_of(error: pytest.ExceptionInfo[Any]) -> list[str]:
    """The command that a message tells the user to run."""
    text = str(error.value)
    return shlex.split(text[text.index("hf download") :])


def test_offline_the_command_to_run_is_named(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the client's own command line understands it as meant."""
    import huggingface_hub.cli.download as client
    from click.testing import CliRunner
    from huggingface_hub.cli.hf import app

    with pytest.raises(FileNotFoundError, match="neither a folder here nor could it be fetched") as error:
        load_backbone(SDXL, variant="fp16")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(client, "snapshot_download", lambda **told: asked.update(told) or "there")
    assert CliRunner().invoke(app, command_of(error)[1:]).exit_code == 0
    assert (asked["repo_id"], asked["revision"]) == (SDXL, PINNED)
    assert asked["allow_patterns"] == pipeline_patterns(SDXL, "fp16")
    with pytest.raises(FileNotFoundError) as error:
        locate("somebody/something")
    assert "--revision" not in command_of(error)


def test_what_is_fetched_is_what_is_loaded_and_no_more(tmp_path: Path) -> None:
    """Patterns against the files of a whole pipeline, with things beside it that must not be fetched."""
    folder = make_sdxl(tmp_path / "whole")
    needed = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    beside = {
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae_1_0/diffusion_pytorch_model.safetensors",
        "sd_xl_base_1.0.safetensors",
        "text_encoder/model.onnx",
        "safety_checker/model.safetensors",
        "unet/code.py",
    }
    fetched = {name for name in needed | beside if any(fnmatch(name, p) for p in pipeline_patterns(SDXL))}
    assert fetched == needed
    halves = {name for name in beside if any(fnmatch(name, p) for p in pipeline_patterns(SDXL, "fp16"))}
    assert halves == {"unet/diffusion_pytorch_model.fp16.safetensors"}


def test_weights_in_pieces_are_fetched(tmp_path: Path) -> None:
    folder = make_flux(tmp_path / "whole")
    network = FluxTransformer2DModel.from_pretrained(folder / "transformer")
    shutil.rmtree(folder / "transformer")
    network.save_pretrained(folder / "transformer", max_shard_size="20KB")
    needed = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    beside = {"flux1-dev.safetensors", "ae.safetensors", "transformer/diffusion_pytorch_model.fp16.safetensors"}
    patterns = pipeline_patterns("black-forest-labs/FLUX.1-dev")
    fetched = {name for name in needed | beside if any(fnmatch(name, p) for p in patterns)}
    assert len([name for name in needed if "-of-" in name]) > 1
    assert fetched == needed


def test_revision_and_licence_are_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    made = make_sdxl(tmp_path / "made", force_upcast=False)

    def fetched(repo: str, **told: Any) -> str:
        asked.append({"repo": repo, **told})
        folder = tmp_path / repo.replace("/", "--") / (told["revision"] or "1" * 40)
        if not folder.exists():
            shutil.copytree(made / "vae" if "vae" in repo else made, folder)
            (folder / "README.md").write_text("---\nlicense: other\nlicense_name: my-own\n---\nA card.\n")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    backbone = load_backbone(SDXL, vae="madebyollin/sdxl-vae-fp16-fix")
    vae_revision = KNOWN["madebyollin/sdxl-vae-fp16-fix"].revision
    assert [one["revision"] for one in asked] == [PINNED, vae_revision]
    assert backbone.revision == f"{PINNED} vae madebyollin/sdxl-vae-fp16-fix@{vae_revision}"
    assert backbone.licence == "openrail++"
    other = load_backbone("somebody/something")
    assert asked[-1]["revision"] is None
    assert (other.revision, other.licence) == ("1" * 40, "my-own")
    locate(SDXL, revision="main")
    assert asked[-1]["revision"] == "main"


def test_a_cached_model_that_lacks_a_part_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = make_sdxl(tmp_path / PINNED)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **told: str(folder))
    with pytest.raises(FileNotFoundError, match="unet/ has no diffusion_pytorch_model") as error:
        load_backbone(SDXL)
    assert command_of(error)[:5] == ["hf", "download", SDXL, "--revision", PINNED]


def test_known_models_name_families_and_commits() -> None:
    for known in KNOWN.values():
        assert known.family in FAMILIES
        assert len(known.revision) == 40
        assert int(known.revision, 16)
        row = FAMILIES[known.family]
        assert row.spacing == known.spacing
        assert row.guidance == known.guidance
        assert row.text_leaves == known.large_text
    with pytest.raises(ValueError, match="variant is 'int8'"):
        locate(SDXL, variant="int8")


def test_prompts_from_captions() -> None:
    assert SamplesConfig().prompt_of("a {hand}") == "a {hand}"
    told = SamplesConfig(prompt="a photo of {caption}, sharp")
    assert told.prompt_of("a {caption}") == "a photo of a {caption}, sharp"
    assert told.prompt_of("") == ""
    assert SamplesConfig(prompt="a photo").prompt_of("") == "a photo"
    assert SamplesConfig(prompt="a photo", use_captions=False).prompt_of("car") == ""
