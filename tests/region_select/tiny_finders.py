"""Open-vocabulary models of transformers' own classes at tiny size, with random weights, as folders."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    SamConfig,
    SamImageProcessor,
    SamModel,
    SamProcessor,
    ViTImageProcessor,
)

from miniworld.generator.models import build_tokenizer

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "a", "face", "hand", "text", "wheel")
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def save(folder: Path, model, processor) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def owlv2(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(folder.parent / "owl-tokenizer")
    tokenizer.model_max_length = 16
    text = {
        **TOWER,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {**TOWER, "image_size": 32, "patch_size": 8}
    config = Owlv2Config(text_config=text, vision_config=vision, projection_dim=16)
    images = Owlv2ImageProcessor(size={"height": 32, "width": 32})
    return save(folder, Owlv2ForObjectDetection(config), Owlv2Processor(images, tokenizer))


def grounding_dino(folder: Path) -> Path:
    torch.manual_seed(0)
    words = folder.parent / "dino-words"
    words.mkdir()
    (words / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = BertTokenizer(str(words / "vocab.txt"))
    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1], "num_heads": [1, 2, 2], "window_size": 4,
            "image_size": 64, "patch_size": 4, "out_features": ["stage1", "stage2", "stage3"],
        },
        text_config={**TOWER, "model_type": "bert", "vocab_size": len(WORDS), "max_position_embeddings": 64},
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=5, num_feature_levels=3, max_text_len=64,
        encoder_n_points=2, decoder_n_points=2,
    )  # fmt: skip
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return save(folder, GroundingDinoForObjectDetection(config), GroundingDinoProcessor(images, tokenizer))


def clipseg(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(folder.parent / "clipseg-tokenizer")
    tokenizer.model_max_length = 16
    text = {
        **TOWER,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {**TOWER, "image_size": 32, "patch_size": 8}
    config = CLIPSegConfig(
        text_config=text, vision_config=vision, projection_dim=16, reduce_dim=8, extract_layers=[0, 1],
        decoder_num_attention_heads=2, decoder_intermediate_size=16, conditional_layer=0,
    )  # fmt: skip
    images = ViTImageProcessor(size={"height": 32, "width": 32})
    return save(folder, CLIPSegForImageSegmentation(config), CLIPSegProcessor(images, tokenizer))


def sam(folder: Path) -> Path:
    torch.manual_seed(0)
    config = SamConfig(
        vision_config={
            "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 16,
            "output_channels": 16, "global_attn_indexes": [1], "window_size": 2, "mlp_dim": 32, "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    images = SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    return save(folder, SamModel(config), SamProcessor(images))
