"""Each crutch of detector/compat.py is still needed, and does what it says. A failure here means: take it out."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import torch

from detector.compat import EXTENSION, MissingOpError, load_mmseg, safe_classes


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)


def test_mmseg_still_cannot_be_imported_without_the_placeholder():
    done = fresh("import mmseg.models")
    assert done.returncode != 0, "mmseg.models imports by itself: remove the placeholder from detector/compat.py"
    assert EXTENSION in done.stderr


def test_the_placeholder_is_gone_after_the_import():
    load_mmseg()
    from mmcv.utils.ext_loader import pkgutil  # noqa: F401  the loader is importable without it

    assert EXTENSION not in sys.modules
    with pytest.raises(ImportError):
        __import__(EXTENSION)


def test_an_operation_that_is_really_called_says_so():
    load_mmseg()
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 5.0, 5.0]])
    with pytest.raises(MissingOpError, match=r"operation 'nms' of mmcv was called.*mmcv-lite has none"):
        nms(boxes, torch.tensor([0.9, 0.8]), 0.5)


def test_checkpoints_of_mmengine_still_need_classes_allowed_by_name(tmp_path):
    load_mmseg()
    from mmengine.logging.history_buffer import HistoryBuffer

    history = HistoryBuffer([1.0, 2.5], [1, 1])
    torch.save({"message_hub": {"log_scalars": {"train/loss": history}}}, tmp_path / "state.pth")
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with pytest.raises(pickle.UnpicklingError, match=r"getattr|HistoryBuffer"):
            torch.load(tmp_path / "state.pth", weights_only=True)
    finally:
        torch.serialization.add_safe_globals(allowed)
    loaded = torch.load(tmp_path / "state.pth", weights_only=True)
    assert loaded["message_hub"]["log_scalars"]["train/loss"].mean() == pytest.approx(1.75)


class Attack:
    """Pickles into `getattr(HistoryBuffer, '__init__')`, the first step of every way out of the safe loader."""

    def __reduce__(self):
        from mmengine.logging.history_buffer import HistoryBuffer

        return getattr, (HistoryBuffer, "__init__")


def test_getattr_inside_a_checkpoint_reaches_nothing_but_statistics(tmp_path):
    load_mmseg()
    torch.save({"x": Attack()}, tmp_path / "attack.pth")
    with pytest.raises(pickle.UnpicklingError, match="'__init__'"):
        torch.load(tmp_path / "attack.pth", weights_only=True)
    assert getattr not in [entry[0] if isinstance(entry, tuple) else entry for entry in safe_classes()]


def test_transformers_still_remarks_on_its_import():
    code = "from transformers import CLIPImageProcessor"
    done = fresh(code)
    assert "torchvision" in done.stderr, "transformers is quiet by itself: remove its line from detector/compat.py"
    quiet = fresh("from detector.compat import load_mmseg; load_mmseg()")
    assert quiet.returncode == 0
    assert quiet.stderr == ""
