"""A mask-classification network behind mmseg's interface: what trains and looks is then the same as for UPerNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import MODELS
from torch.nn import functional

from detector.rejection.network import build_network
from shards.masks import IGNORE

TINY = 1e-8
"""Keeps the logarithm of a probability of 0 finite."""


@MODELS.register_module()
class MaskSegmenter(BaseSegmentor):
    """Scene segmentation by queries: each has a mask and a distribution over the classes and "no object".

    Args:
        network: of the form of detector.rejection.form. keep_ratio: pictures keep their ratio when they are resized.

    Raises ValueError where the network's numbers do not fit each other.
    """

    align_corners = False

    def __init__(
        self, data_preprocessor: Any, network: dict[str, Any], keep_ratio: bool = False, init_cfg: Any = None
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.network = build_network(network)
        self.keep_ratio = keep_ratio

    def init_weights(self) -> None:
        """transformers initialised the weights when it built the network."""

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float BCHW, normalised -> logits of the masks BQhw and of the classes BQ(K+1), the last "no object"."""
        found = self.network(pixel_values=inputs)
        return found.masks_queries_logits, found.class_queries_logits

    def encode_decode(self, inputs: torch.Tensor, batch_data_samples: Any) -> torch.Tensor:
        """float BKHW, the logarithm of p(c) = sum_q P_q(c) M_q, not normalised."""
        masks, classes = self.extract_feat(inputs)
        shares = classes.softmax(-1)[..., :-1]
        masks = functional.interpolate(masks, inputs.shape[2:], mode="bilinear", align_corners=False).sigmoid()
        return torch.einsum("bqk,bqhw->bkhw", shares, masks).clamp(min=TINY).log()

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[Any]) -> dict[str, torch.Tensor]:
        """The network's own loss: queries matched to the classes that occur, each with one mask."""
        masks, classes = [], []
        for sample in data_samples:
            labels = sample.gt_sem_seg.data.squeeze(0)
            found = labels.unique()
            found = found[found != IGNORE]
            classes.append(found.long())
            masks.append((labels[None] == found[:, None, None]).float())
        return {"loss_masks": self.network(pixel_values=inputs, mask_labels=masks, class_labels=classes).loss}

    def predict(self, inputs: torch.Tensor, data_samples: Any = None) -> Any:
        """Label maps and their logits, at each picture's own size."""
        return self.postprocess_result(self.encode_decode(inputs, None), data_samples)

    def _forward(self, inputs: torch.Tensor, data_samples: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        return self.extract_feat(inputs)
