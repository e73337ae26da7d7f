"""Published weights in any naming give the network that published them: compared by what it computes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from transformers import ConvNextConfig, SwinConfig, UperNetConfig, UperNetForSemanticSegmentation

from detector.card import Card
from detector.checkpoint import build_model
from detector.errors import CheckpointError
from detector.initialise import Initial, InitialOptions, find_initial, initialise_model, to_ours
from detector.tensors import read_tensors
from shards.errors import MissingInputError

NORM = {"type": "BN"}
LOSS = {"type": "CrossEntropyLoss"}


def card(backbone: dict, channels: list[int], classes: int = 5) -> Card:
    """A small UPerNet as the published ones are: heads of 16 channels, auxiliary head on the third map."""
    head = {"num_classes": classes, "norm_cfg": NORM, "align_corners": False, "loss_decode": LOSS, "channels": 16}
    model = {
        "type": "EncoderDecoder",
        "data_preprocessor": {"type": "SegDataPreProcessor", "mean": [0.0] * 3, "std": [1.0] * 3},
        "backbone": backbone,
        "decode_head": {"type": "UPerHead", "in_channels": channels, "in_index": [0, 1, 2, 3], **head},
        "auxiliary_head": {
            "type": "FCNHead",
            "in_channels": channels[2],
            "in_index": 2,
            "num_convs": 1,
            "concat_input": False,
            **head,
        },
        "test_cfg": {"mode": "whole"},
    }
    return Card(model, 64, tuple("abcde"[:classes]))


STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN = {"embed_dim": 8, "depths": [2, 1, 2, 1], "num_heads": [1, 2, 2, 4], "window_size": 4, "image_size": 64}
OURS_SWIN = {
    "type": "SwinTransformer",
    "pretrain_img_size": 64,
    "embed_dims": 8,
    "window_size": 4,
    "strides": [4, 2, 2, 2],
    "depths": [2, 1, 2, 1],
    "num_heads": [1, 2, 2, 4],
    "drop_path_rate": 0.0,
}
CONVNEXT = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 2, 1, 1], "layer_scale_init_value": 1.0}
KINDS = {
    "swin": (SwinConfig(**SWIN, out_features=STAGES, drop_path_rate=0.0), OURS_SWIN, [8, 16, 32, 64]),
    "convnext": (
        ConvNextConfig(**CONVNEXT, out_features=STAGES),
        {"type": "HubBackbone", "model_type": "convnext", "options": CONVNEXT},
        [8, 16, 24, 32],
    ),
}


def published(kind: str) -> UperNetForSemanticSegmentation:
    """transformers' own UPerNet with random weights, none of them at their trivial start."""
    torch.manual_seed(1)
    backbone, _, channels = KINDS[kind]
    config = UperNetConfig(
        backbone_config=backbone, hidden_size=16, num_labels=5, auxiliary_in_channels=channels[2], auxiliary_channels=16
    )
    model = UperNetForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if value.is_floating_point():
                noise = torch.randn_like(value) * 0.3
                value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else value + noise)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_hub_weights_compute_the_same(kind, tmp_path):
    theirs = published(kind)
    theirs.save_pretrained(tmp_path)  # writes the names that the hub's files have
    model = build_model(card(*KINDS[kind][1:]))
    random = initialise_model(model, Initial(tmp_path / "model.safetensors", "all", ""))
    assert all("conv_seg" in name or name.endswith("relative_position_index") for name in random)
    tensors = to_ours(read_tensors(tmp_path / "model.safetensors")[0])
    model.load_state_dict({name: t for name, t in tensors.items() if "conv_seg" in name}, strict=False)
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        metas = [{"ori_shape": (64, 64), "img_shape": (64, 64), "pad_shape": (64, 64)}] * 2
        ours, expected = model.encode_decode(pixels, metas), theirs(pixels).logits
    assert ours.shape == expected.shape
    assert expected.std() > 0.1
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


MMPRETRAIN_NAMES = {
    "backbone.downsample_layers.0.0.weight": "backbone.model.embeddings.patch_embeddings.weight",
    "backbone.downsample_layers.0.1.bias": "backbone.model.embeddings.layernorm.bias",
    "backbone.downsample_layers.1.0.weight": "backbone.model.encoder.stages.1.downsampling_layer.0.weight",
    "backbone.downsample_layers.3.1.bias": "backbone.model.encoder.stages.3.downsampling_layer.1.bias",
    "backbone.stages.1.1.depthwise_conv.weight": "backbone.model.encoder.stages.1.layers.1.dwconv.weight",
    "backbone.stages.0.0.norm.weight": "backbone.model.encoder.stages.0.layers.0.layernorm.weight",
    "backbone.stages.2.0.pointwise_conv1.weight": "backbone.model.encoder.stages.2.layers.0.pwconv1.weight",
    "backbone.stages.2.0.pointwise_conv2.bias": "backbone.model.encoder.stages.2.layers.0.pwconv2.bias",
    "backbone.stages.2.0.gamma": "backbone.model.encoder.stages.2.layers.0.layer_scale_parameter",
    "backbone.norm0.weight": "backbone.model.hidden_states_norms.stage1.weight",
    "backbone.norm3.bias": "backbone.model.hidden_states_norms.stage4.bias",
    "decode_head.lateral_convs.0.bn.running_mean": "decode_head.lateral_convs.0.bn.running_mean",
}


def test_names_of_mmpretrain():
    state = build_model(card(*KINDS["convnext"][1:])).state_dict()
    assert set(MMPRETRAIN_NAMES.values()) <= set(state)
    renamed = to_ours({theirs: state[ours] for theirs, ours in MMPRETRAIN_NAMES.items()})
    assert list(renamed) == list(MMPRETRAIN_NAMES.values())
    assert list(to_ours(state)) == list(state)  # names that are already ours stay


def test_weights_of_ours_start_everything_but_the_classifiers(tmp_path):
    whole = build_model(card(*KINDS["swin"][1:], classes=5))
    save_file(whole.state_dict(), tmp_path / "start.safetensors")
    other = build_model(card(*KINDS["swin"][1:], classes=2))
    before = other.state_dict()["decode_head.conv_seg.weight"].clone()
    initialise_model(other, Initial(tmp_path / "start.safetensors", "all", ""))
    state, expected = other.state_dict(), whole.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in state if "conv_seg" not in name)
    assert torch.equal(state["decode_head.conv_seg.weight"], before)


def test_only_the_backbone(tmp_path):
    whole, other = build_model(card(*KINDS["swin"][1:])), build_model(card(*KINDS["swin"][1:]))
    save_file(whole.state_dict(), tmp_path / "start.safetensors")
    head = other.state_dict()["decode_head.bottleneck.conv.weight"].clone()
    initialise_model(other, Initial(tmp_path / "start.safetensors", "backbone", ""))
    assert torch.equal(other.state_dict()["decode_head.bottleneck.conv.weight"], head)
    name = "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight"
    assert torch.equal(other.state_dict()[name], whole.state_dict()[name])


def test_another_architecture_is_refused(tmp_path):
    save_file(build_model(card(*KINDS["convnext"][1:])).state_dict(), tmp_path / "start.safetensors")
    with pytest.raises(CheckpointError, match=r"another architecture: backbone\S+ is missing"):
        initialise_model(build_model(card(*KINDS["swin"][1:])), Initial(tmp_path / "start.safetensors", "all", ""))


def test_without_a_network_the_message_names_the_command(monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    options = InitialOptions("openmmlab/upernet-swin-tiny", revision="0123abc")
    with pytest.raises(MissingInputError, match="`hf download openmmlab/upernet-swin-tiny --revision 0123abc`"):
        find_initial(options)


def test_a_missing_file_names_what_makes_it():
    with pytest.raises(MissingInputError, match="make it with `make weights`"):
        find_initial(InitialOptions("weights/none.safetensors", make="make weights"))
