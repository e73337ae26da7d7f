"""Segmenters of valid content as detectors: what they reject is an artifact. Two classes out, as all detectors have.

Only what a detector must be is here; the scores are in detector.rejection.scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from detector.rejection.loss import Suppression, losses
from detector.rejection.names import learns
from detector.rejection.scores import Queries, as_heat, of_pixels, opened, rejection
from detector.rejection.segmenter import TINY, MaskSegmenter
from shards.errors import ConfigError


def two_logits(heat: torch.Tensor) -> torch.Tensor:
    """float BHW in 0..1 -> B2HW whose softmax is (1 - heat, heat)."""
    return torch.stack([1 - heat, heat], 1).clamp(min=TINY).log()


@MODELS.register_module()
class MaskRejector(MaskSegmenter):
    """A mask-classification network whose score is the probability of an artifact.

    All but the query embeddings and the class head is frozen, in evaluation mode even while those learn.

    Args:
        score: one of detector.rejection.scores.SCORES. valid_classes: positions of the classes that count as valid
            content, all by default. boundary: rejection not as wide as 2 boundary + 1 pixels of the input is taken
            for an outline and dropped, in training too (detector.rejection.scores.opened). rejection_loss: see
            detector.rejection.loss.Suppression. The others: MaskSegmenter.

    Raises ValueError as MaskSegmenter does, or where a valid class does not exist; ConfigError.
    """

    def __init__(
        self,
        data_preprocessor: Any,
        network: dict[str, Any],
        score: str = "msr",
        valid_classes: Sequence[int] | None = None,
        boundary: int = 0,
        keep_ratio: bool = False,
        rejection_loss: dict[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(data_preprocessor, network, keep_ratio, init_cfg)
        self.score, self.valid = score, None if valid_classes is None else list(valid_classes)
        self.boundary = boundary
        self.suppression = Suppression.of(rejection_loss)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(learns(name))

    def train(self, mode: bool = True) -> MaskRejector:
        """Nothing drops out and no statistic moves: the network stays as it is but for what learns."""
        super().train(mode)
        self.network.eval()
        return self

    def look(self, inputs: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """float BCHW, normalised -> float BHW of each score, from one forward pass."""
        masks, classes = self.extract_feat(inputs)
        found = rejection(Queries(masks, classes), tuple(inputs.shape[2:]), names, self.valid)
        return {name: opened(score, self.boundary) for name, score in found.items()}

    def encode_decode(self, inputs: torch.Tensor, batch_data_samples: Any) -> torch.Tensor:
        """float B2HW whose softmax is (1 - heat, heat)."""
        return two_logits(as_heat(self.score, self.look(inputs, (self.score,))[self.score]))

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Of the confidence E = 1 - msr, whichever score the detector shows."""
        labels = torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples])
        return losses(1 - self.look(inputs, ("msr",))["msr"], labels, self.suppression)


@MODELS.register_module()
class PixelRejector(EncoderDecoder):
    """A network that classifies each pixel, such as UPerNet on scenes, as a detector without training.

    Args:
        score: one of detector.rejection.scores.PIXEL_SCORES. valid_classes: as MaskRejector. model: of EncoderDecoder.
    """

    def __init__(self, score: str = "pixel", valid_classes: Sequence[int] | None = None, **model: Any) -> None:
        super().__init__(**model)
        self.score, self.valid = score, None if valid_classes is None else list(valid_classes)

    def look(self, inputs: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """float BCHW, normalised -> float BHW of each score, from one forward pass."""
        metas = [{"ori_shape": inputs.shape[2:], "img_shape": inputs.shape[2:], "pad_shape": inputs.shape[2:]}]
        logits = super().encode_decode(inputs, metas * len(inputs))
        return {name: of_pixels(logits, name, self.valid) for name in names}

    def loss(self, inputs: torch.Tensor, data_samples: Any) -> Any:
        """Raises ConfigError: it is used as it is."""
        raise ConfigError("a PixelRejector does not learn; adapt a MaskRejector, or train an EncoderDecoder on shards")

    def encode_decode(self, inputs: torch.Tensor, batch_img_metas: Any) -> torch.Tensor:
        """float B2HW whose softmax is (1 - heat, heat)."""
        return two_logits(as_heat(self.score, self.look(inputs, (self.score,))[self.score]))
