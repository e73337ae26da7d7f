"""Where phrases are in a picture, by open-vocabulary models that transformers has classes for.

Boxes by OWL-ViT, OWLv2 or Grounding DINO, brought to masks by SAM where one is named; masks by CLIPSeg. What comes from
outside is safetensors, configs and vocabularies; no code of a model's author runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detector.compat import quiet
from detector.errors import CheckpointError
from detector.heat import enlarge, pick_device
from detector.rejection.hub import HUB_ID, no_bar
from shards.config import INSTALLED
from shards.errors import MissingInputError
from shards.files import hash_file
from shards.masks import U8

BOXES = ("owlvit", "owlv2", "grounding-dino")
MAPS = ("clipseg",)
KINDS = (*BOXES, *MAPS)
WEIGHTS = "model.safetensors"
BUFFERS = ("position_ids", "relative_position_index")
"""Names of what is computed anew and need not be in a file."""
WANTED = ["*.json", "*.txt", WEIGHTS]


@dataclass(frozen=True)
class Found:
    """A phrase at a place."""

    phrase: str
    score: float
    """0..1."""
    mask: NDArray[np.bool_]
    """HW of the picture."""


Finder = Callable[[U8], list[Found]]
"""uint8 HWC -> what was found, in the order of the scores, highest first."""


def open_finder(
    where: str,
    phrases: Sequence[str],
    least: float,
    revision: str = "main",
    masks: str = "",
    masks_revision: str = "main",
    device: str = "auto",
) -> Finder:
    """One picture goes through the networks at a time, so that batches change nothing.

    Args:
        where: a folder or hub id of one of KINDS. phrases: such as "a hand". least: the score, 0..1, from which on a
            phrase counts as found; of CLIPSeg the probability of a pixel.
        masks: a folder or hub id of SAM, which cuts boxes down to what is in them; "" leaves boxes.

    Raises MissingInputError, CheckpointError, ConfigError.
    """
    target = pick_device(device)
    path = find_model(where, revision)
    model, processor, kind = load(path, target)
    if kind in MAPS:
        return lambda image: by_maps(model, processor, image, phrases, least)
    cut = open_cutter(find_model(masks, masks_revision), target) if masks else box_masks

    def find(image: U8) -> list[Found]:
        boxes = by_boxes(model, processor, kind, image, phrases, least)
        cuts = cut(image, [box for _, _, box in boxes]) if boxes else []
        found = [Found(phrase, score, mask) for (phrase, score, _), mask in zip(boxes, cuts, strict=True)]
        return [one for one in sorted(found, key=lambda one: -one.score) if one.mask.any()]

    return find


def load(path: Path, device: torch.device) -> tuple[Any, Any, str]:
    """Model, processor and kind. Raises CheckpointError."""
    from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor, CLIPSegForImageSegmentation

    try:
        with quiet(), no_bar():
            config = AutoConfig.from_pretrained(str(path), local_files_only=True)
            kind = str(config.model_type)
            if kind not in KINDS:
                raise CheckpointError(f"it is a {kind!r}; known are {', '.join(KINDS)}")
            wanted = CLIPSegForImageSegmentation if kind in MAPS else AutoModelForZeroShotObjectDetection
            model = whole(wanted, path)
            processor = AutoProcessor.from_pretrained(str(path), local_files_only=True)
    except Exception as error:  # transformers and safetensors raise a dozen unrelated types on what does not fit
        reason = (str(error).strip().split("\n")[0] or type(error).__name__)[:200]
        raise CheckpointError(
            f"{path} finds no phrases ({reason}); name a model that does, or fetch it again"
        ) from error
    return model.to(device).eval(), processor, kind


def whole(kind: Any, path: Path) -> Any:
    """A model of this class with all of its weights from a folder. Raises CheckpointError where some are missing."""
    how = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    model, told = kind.from_pretrained(str(path), **how)
    missing = [name for name in told["missing_keys"] if not name.endswith(BUFFERS)]
    if missing:
        raise CheckpointError(f"its weights lack {sorted(missing)[0]}")
    return model


@torch.inference_mode()
def by_boxes(
    model: Any, processor: Any, kind: str, image: U8, phrases: Sequence[str], least: float
) -> list[tuple[str, float, tuple[float, ...]]]:
    """(phrase, score, box x0 y0 x1 y1 in pixels) of what was found."""
    size = [image.shape[:2]]
    if kind == "grounding-dino":
        text = " . ".join(phrases) + " ."
        inputs = processor(images=image, text=text, return_tensors="pt").to(model.device)
        told = processor.post_process_grounded_object_detection(
            model(**inputs), inputs["input_ids"], threshold=least, text_threshold=least, target_sizes=size
        )[0]
    else:
        inputs = processor(images=image, text=[list(phrases)], return_tensors="pt").to(model.device)
        told = processor.post_process_grounded_object_detection(
            model(**inputs), threshold=least, target_sizes=size, text_labels=[list(phrases)]
        )[0]
    scores, boxes = told["scores"].tolist(), told["boxes"].tolist()
    labels = told["text_labels"][: len(scores)]  # where Grounding DINO finds nothing there is a label all the same
    return [(str(label), float(score), tuple(box)) for label, score, box in zip(labels, scores, boxes, strict=True)]


@torch.inference_mode()
def by_maps(model: Any, processor: Any, image: U8, phrases: Sequence[str], least: float) -> list[Found]:
    """One mask a phrase; its score is the highest of its pixels'."""
    inputs = processor(text=list(phrases), images=[image] * len(phrases), padding=True, return_tensors="pt")
    size = inputs["pixel_values"].shape[2:]  # one phrase comes without the axis of phrases
    shares = model(**inputs.to(model.device)).logits.reshape(len(phrases), *size).sigmoid().cpu()
    heats = [enlarge(one.float(), *image.shape[:2]) for one in shares]
    found = [Found(phrase, float(heat.max()), heat >= least) for phrase, heat in zip(phrases, heats, strict=True)]
    return [one for one in sorted(found, key=lambda one: -one.score) if one.mask.any()]


def box_masks(image: U8, boxes: Sequence[tuple[float, ...]]) -> list[NDArray[np.bool_]]:
    """bool HW of each box, whole pixels that it touches, within the picture."""
    masks = []
    height, width = image.shape[:2]
    for left, top, right, bottom in boxes:
        mask = np.zeros((height, width), bool)
        rows = slice(max(0, int(np.floor(top))), max(0, int(np.ceil(bottom))))
        mask[rows, max(0, int(np.floor(left))) : max(0, int(np.ceil(right)))] = True
        masks.append(mask)
    return masks


def open_cutter(
    path: Path, device: torch.device
) -> Callable[[U8, Sequence[tuple[float, ...]]], list[NDArray[np.bool_]]]:
    """SAM: picture and boxes -> the mask of the thing in each, the one that it is surest of. Raises CheckpointError."""
    from transformers import SamModel, SamProcessor

    try:
        with quiet(), no_bar():
            model = whole(SamModel, path).to(device).eval()
            processor = SamProcessor.from_pretrained(str(path), local_files_only=True)
    except Exception as error:  # transformers and safetensors raise a dozen unrelated types on what does not fit
        reason = (str(error).strip().split("\n")[0] or type(error).__name__)[:200]
        raise CheckpointError(f"{path} is no SAM ({reason}); name one, or fetch it again") from error

    @torch.inference_mode()
    def cut(image: U8, boxes: Sequence[tuple[float, ...]]) -> list[NDArray[np.bool_]]:
        inputs = processor(image, input_boxes=[[list(box) for box in boxes]], return_tensors="pt").to(device)
        told = model(**inputs)
        masks = processor.image_processor.post_process_masks(
            told.pred_masks.cpu(), inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
        )[0]
        surest = told.iou_scores[0].argmax(dim=-1).tolist()
        return [masks[place, best].numpy().astype(bool) for place, best in enumerate(surest)]

    return cut


def find_model(where: str, revision: str) -> Path:
    """A folder, as given or beside the installed packages, else from this machine's cache or fetched.

    Raises MissingInputError.
    """
    for candidate in (Path(where), INSTALLED / where):
        if candidate.is_dir():
            return candidate
    if not HUB_ID.fullmatch(where):
        raise MissingInputError(f"model {where} does not exist; name a folder or a hub id")
    from huggingface_hub import snapshot_download

    reason = ""
    for local in (True, False):
        try:
            found = Path(snapshot_download(where, revision=revision, allow_patterns=WANTED, local_files_only=local))
            if (found / WEIGHTS).is_file():
                return found
            reason = f"it has no {WEIGHTS}"
        except Exception as error:  # the hub raises its own, the network's and the system's errors
            reason = type(error).__name__
    raise MissingInputError(
        f"model {where} is not on this machine and could not be fetched ({reason}); on a machine with a network run "
        f"`hf download {where} --revision {revision}`"
    )


def phrases_digest(where: str, revision: str = "main") -> str:
    """sha256 of a model's weights. Raises MissingInputError."""
    path = find_model(where, revision) / WEIGHTS
    if not path.is_file():
        raise MissingInputError(f"model {where} has no {WEIGHTS}; fetch or save it again")
    return hash_file(path)
