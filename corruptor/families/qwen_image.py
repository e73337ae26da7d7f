"""Qwen-Image (Wu et al. 2025): a transformer over packed latents, a video VAE with one frame, text by a language model.

Legend: B rows, C latent channels, H and W latent cells, L text tokens, D embedding width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from torch import Tensor
from torch.nn.functional import pad
from transformers import Qwen2_5_VLForConditionalGeneration

from corruptor.conditioning import Conditioning
from corruptor.families.family import Family, LatentCode, ModelPart, Text, classifier_free
from corruptor.families.flux import schedule_of
from corruptor.families.packing import SIDE, check_packing, pack, unpack

TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
"""What the model was trained to be told (the diffusers pipeline's prompt_template_encode)."""
NUM_SYSTEM_TOKENS = 34
"""Of the template, before the prompt; their states are dropped."""
NUM_TOKENS = 512
"""Text tokens that the transformer is given, padded and masked: a row must not depend on the others of its batch."""
OTHER_KINDS = ("zero_cond_t", "use_additional_t_cond", "use_layer3d_rope", "guidance_embeds")
"""Switches of a transformer's config for models that take more inputs (editing, layers)."""


def embed(parts: Mapping[str, Any], prompt: str) -> Conditioning:
    """Last states of the language model for the prompt in its template, (1, NUM_TOKENS, D), and what is no padding."""
    encoder = parts["text_encoder"]
    told = parts["tokenizer"](
        TEMPLATE.format(prompt), max_length=NUM_SYSTEM_TOKENS + NUM_TOKENS, truncation=True, return_tensors="pt"
    ).to(encoder.device)
    states = encoder(input_ids=told.input_ids, attention_mask=told.attention_mask, output_hidden_states=True)
    hidden = states.hidden_states[-1][:, NUM_SYSTEM_TOKENS:].float()
    missing = NUM_TOKENS - hidden.shape[1]
    mask = hidden.new_ones(1, hidden.shape[1])
    return Conditioning(pad(hidden, (0, 0, 0, missing)), {"mask": pad(mask, (0, missing))})


class QwenDenoiser:
    """Qwen-Image's transformer: 2 x 2 cells a token, padding of the text masked."""

    def __init__(self, network: Any, factor: int) -> None:
        self.network, self.cells, self.most_cells = network, SIDE, 0

    def __call__(self, latents_BCHW: Tensor, timestep: Tensor, conditioning: Conditioning, scale: Tensor) -> Tensor:
        rows, (height, width) = len(latents_BCHW), latents_BCHW.shape[2:]
        tokens = self.network(
            hidden_states=pack(latents_BCHW),
            timestep=timestep.expand(rows) / 1000,
            encoder_hidden_states=conditioning.hidden_BLD,
            encoder_hidden_states_mask=conditioning.added["mask"],
            img_shapes=[[(1, height // SIDE, width // SIDE)]] * rows,
            return_dict=False,
        )[0]
        return unpack(tokens, height, width)

    def blank_text(self) -> Conditioning:
        hidden = torch.zeros(1, NUM_TOKENS, self.network.config.joint_attention_dim)
        return Conditioning(hidden, {"mask": torch.ones(1, NUM_TOKENS)})

    def check(self, vae_channels: int, embedded: Conditioning) -> None:
        config = self.network.config
        check_packing(config.in_channels, vae_channels)
        other = [name for name in OTHER_KINDS if config.get(name)]
        if other:
            raise ValueError(
                f"the transformer has {other[0]}: models that edit pictures or paint layers are not supported"
            )
        width = embedded.hidden_BLD.shape[-1]
        if config.joint_attention_dim != width:
            raise ValueError(
                f"the text encoder gives {width} numbers a token, but the transformer takes "
                f"{config.joint_attention_dim}: text_encoder/ and transformer/ are of different models"
            )


def keep_norm(plain: Tensor, guided: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance, each token brought back to the length it has with the prompt alone."""
    height, width = guided.shape[2:]
    tokens = pack(classifier_free(plain, guided, scale))
    lengths = [one.norm(dim=-1, keepdim=True) for one in (pack(guided), tokens)]
    return unpack(tokens * (lengths[0] / lengths[1]), height, width)


def _spread(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each latent channel, (C, 1, 1)."""
    mean, std = (like.new_tensor(values)[:, None, None] for values in (vae.config.latents_mean, vae.config.latents_std))
    return mean, std


def _encode(vae: Any, pixels: Tensor) -> Tensor:
    latents = vae.encode(pixels[:, :, None]).latent_dist.mode()[:, :, 0].float()
    mean, std = _spread(vae, latents)
    normal: Tensor = (latents - mean) / std
    return normal


def _decode(vae: Any, latents: Tensor) -> Tensor:
    mean, std = _spread(vae, latents)
    pixels: Tensor = vae.decode((latents * std + mean)[:, :, None].to(vae.dtype)).sample[:, :, 0]
    return pixels.float()


QWEN_IMAGE = Family(
    pipeline="QwenImagePipeline",
    in_memory=("QwenImagePipeline", "QwenImageImg2ImgPipeline", "QwenImageInpaintPipeline"),
    num_grid_steps=50,
    models={
        "transformer": ModelPart(QwenImageTransformer2DModel, "diffusion_pytorch_model", "denoiser"),
        "vae": ModelPart(AutoencoderKLQwenImage, "diffusion_pytorch_model", "vae"),
        "text_encoder": ModelPart(Qwen2_5_VLForConditionalGeneration, "model", "text"),
    },
    tokenizers={"tokenizer": Text(NUM_SYSTEM_TOKENS + NUM_TOKENS, TEMPLATE)},
    embed_one=embed,
    denoiser="transformer",
    speak=QwenDenoiser,
    schedule_of=schedule_of,
    scheduler_class=FlowMatchEulerDiscreteScheduler,
    latents=LatentCode(
        channels=lambda vae: int(vae.config.z_dim),
        factor=lambda vae: int(2 ** len(vae.config.temperal_downsample)),
        encode=_encode,
        decode=_decode,
    ),
    combine=keep_norm,
    half=torch.bfloat16,
    half_vae=torch.bfloat16,
    half_text=torch.bfloat16,
    text_leaves=True,
)
