"""Patch Forensics: the authors' names, their network by hand, another implementation, how far a patch sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import ResNetConfig, ResNetModel

from applications.baselines.cnn import torchvision_names
from applications.baselines.patches import GENERATED, PatchForensics, load_patches, xception
from detector.errors import CheckpointError


def filled(net: torch.nn.Module) -> torch.nn.Module:
    """Weights and statistics at random, so that no batch normalisation is the identity."""
    torch.manual_seed(0)
    for name, one in net.state_dict().items():
        if one.is_floating_point():
            one.copy_(torch.rand_like(one) + 0.5 if "running_var" in name else torch.randn_like(one) * 0.3)
    return net.eval()


def test_the_names_are_the_authors():
    names = {name for name in xception([4, 6], [8, 10]).state_dict() if not name.endswith("num_batches_tracked")}
    norm = ("weight", "bias", "running_mean", "running_var")
    convs = ["conv1", "conv2", "convout"]
    convs += [f"block1.{part}" for part in ("skip", "rep.0.conv1", "rep.0.pointwise", "rep.3.conv1", "rep.3.pointwise")]
    convs += [f"block2.{part}" for part in ("skip", "rep.1.conv1", "rep.1.pointwise", "rep.4.conv1", "rep.4.pointwise")]
    norms = ["bn1", "bn2", "block1.skipbn", "block1.rep.1", "block1.rep.4"]
    norms += ["block2.skipbn", "block2.rep.2", "block2.rep.5"]
    expected = {f"{conv}.weight" for conv in convs} | {f"{one}.{part}" for one in norms for part in norm}
    assert names == expected | {"convout.bias"}


def test_two_blocks_by_hand():
    net = filled(xception([4, 6], [8, 10]))
    t, maps = net.state_dict(), torch.rand(2, 3, 33, 33)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = [t[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *parts)

    def separable(x: torch.Tensor, name: str) -> torch.Tensor:
        x = functional.conv2d(x, t[f"{name}.conv1.weight"], padding=1, groups=x.shape[1])
        return functional.conv2d(x, t[f"{name}.pointwise.weight"])

    x = norm(functional.conv2d(maps, t["conv1.weight"], stride=2), "bn1").relu()
    x = norm(functional.conv2d(x, t["conv2.weight"]), "bn2").relu()
    beside = norm(functional.conv2d(x, t["block1.skip.weight"], stride=2), "block1.skipbn")
    x = norm(separable(x, "block1.rep.0"), "block1.rep.1").relu()
    x = norm(separable(x, "block1.rep.3"), "block1.rep.4")
    x = functional.max_pool2d(x, 3, 2, 1) + beside
    beside = norm(functional.conv2d(x, t["block2.skip.weight"], stride=2), "block2.skipbn")
    x = norm(separable(x.relu(), "block2.rep.1"), "block2.rep.2").relu()
    x = functional.max_pool2d(norm(separable(x, "block2.rep.4"), "block2.rep.5"), 3, 2, 1) + beside
    by_hand = functional.conv2d(x, t["convout.weight"], t["convout.bias"])
    found = load_patches(t, Path("w.pth"))
    assert torch.allclose(found(maps), by_hand, rtol=1e-4, atol=1e-5 * float(by_hand.detach().abs().max()))


@pytest.mark.parametrize("deep", [True, False])
def test_a_truncated_resnet_is_the_beginning_of_a_resnet(deep: bool):
    sizes = [32, 64] if deep else [8, 16]
    kind = "bottleneck" if deep else "basic"
    whole = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=sizes, depths=[2, 1], layer_type=kind))
    filled(whole)
    tensors = torchvision_names({f"resnet.{name}": one for name, one in whole.state_dict().items()})
    out = torch.randn(2, sizes[-1], 1, 1)
    cut = load_patches({**tensors, "convout.weight": out, "convout.bias": torch.zeros(2)}, Path("w.pth"))
    pixels = torch.rand(1, 3, 48, 48)
    expected = functional.conv2d(whole(pixels).last_hidden_state, out)
    assert torch.allclose(cut(pixels), expected, rtol=1e-4, atol=1e-5 * float(expected.detach().abs().max()))


def test_a_patch_of_block_1_sees_19_pixels():
    net = filled(xception([4, 6], [8]))
    pixels = torch.rand(1, 3, 64, 64)
    other = pixels.clone()
    other[..., 32, 32] += 3
    with torch.no_grad():
        rows = (net(pixels) - net(other)).abs().sum(1)[0].amax(1).nonzero()[:, 0].tolist()
    # Patch k sees 19 pixels around 4 k + 3: padding is missing in the first two convolutions.
    assert rows
    assert all(abs(4 * k + 3 - 32) <= 9 for k in rows)


def test_the_looker_tells_the_probability_of_generated(tmp_path: Path):
    net = filled(xception([4, 6], [8]))
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, tmp_path / "bestval_net_D.pth")
    looker = PatchForensics(tmp_path / "bestval_net_D.pth", 64, "cpu")
    picture = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)
    prepared = looker.prepare(picture)
    heat = looker.look([prepared, prepared])
    pixels = torch.from_numpy(prepared).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        assert torch.allclose(heat[:1], net(pixels).softmax(1)[:, GENERATED], atol=1e-5)
    assert heat.shape == (2, 15, 15)


def test_what_is_no_patch_classifier():
    tensors = xception([4, 6], [8]).state_dict()
    for wrong, told in (
        ({"convout.weight": torch.zeros(3, 8, 1, 1)}, r"convout\.weight is \(3, 8, 1, 1\)"),
        ({"conv2.weight": torch.zeros(())}, r"conv2\.weight is \(\)"),
        ({"block3.skip.weight": torch.zeros(1)}, r"block2\.rep\.4\.pointwise\.weight is missing"),
    ):
        with pytest.raises(CheckpointError, match=told):
            load_patches({**tensors, **wrong}, Path("w.pth"))
    with pytest.raises(CheckpointError, match=r"conv1\.weight is missing"):
        load_patches({"fc.bias": torch.zeros(1)}, Path("w.pth"))
