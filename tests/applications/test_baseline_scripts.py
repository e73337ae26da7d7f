"""PAL's TorchScript archives: the weights and no program, and archives that are not what they say."""

from __future__ import annotations

import io
import math
import pickle
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from applications.baselines.pal import Pal, card_of, is_script, parts_of
from applications.baselines.script_tensors import read_script
from blemish.command import main
from detector.card import Card
from detector.checkpoint import build_model
from detector.errors import CheckpointError
from detector.heat import Detector

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
SWIN = Path("region_select/weights/swin_mini.safetensors")


class Exported(torch.nn.Module):
    """As mmdeploy exports a segmenter: the larger class alone, the network below a name."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        shape = images.shape[2:]
        metas = [{"ori_shape": shape, "img_shape": shape, "pad_shape": shape}]
        return self.model.encode_decode(images, metas).argmax(1, keepdim=True)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(SWIN, device="cpu")


@pytest.fixture(scope="module")
def archive(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pal") / "end2end.pt"
    torch.jit.trace(Exported(detector.model), torch.rand(1, 3, 64, 64), check_trace=False).save(str(path))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("small") / "small.pt"
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(5, 2)).half()
    torch.jit.script(net.eval()).save(str(path))
    return path


def rewritten(archive: Path, out: Path, change: dict[str, bytes | None], compressed: tuple[str, ...] = ()) -> Path:
    """The archive with other members; None leaves one out."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            name = member.filename.partition("/")[2]
            data = change.get(name, old.read(member))
            if data is not None:
                new.writestr(member.filename, data, zipfile.ZIP_DEFLATED if name in compressed else zipfile.ZIP_STORED)
    return out


def test_a_program_is_not_run_and_its_weights_see_the_same(
    archive: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the program was loaded")

    monkeypatch.setattr(torch.jit, "load", refuse)
    monkeypatch.setattr(torch._C, "import_ir_module", refuse)
    assert is_script(archive)
    pal = Pal(archive, 64, "cpu")
    picture = np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)
    expected = detector.look([detector.prepare(picture)])[0]
    assert torch.equal(pal.look([pal.prepare(picture)])[0], expected)


def test_the_archive_itself_says_the_same(archive: Path, detector: Detector):
    pal = Pal(archive, 64, "cpu")
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    mean, spread = (torch.tensor(row)[:, None, None] for row in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]))
    pixels = (torch.from_numpy(picture).permute(2, 0, 1) - mean) / spread
    with torch.no_grad():
        theirs = torch.jit.load(str(archive))(pixels[None])[0, 0]
    assert torch.equal(theirs == 1, pal.look([picture])[0] > 0.5)


def test_a_plain_checkpoint_of_either_network_is_read_too(detector: Detector, tmp_path: Path):
    torch.save(
        {"state_dict": detector.model.state_dict(), "meta": {"iter": 7200}}, tmp_path / "best_mIoU_iter_7200.pth"
    )
    assert not is_script(tmp_path / "best_mIoU_iter_7200.pth")
    pal = Pal(tmp_path / "best_mIoU_iter_7200.pth", 64, "cpu")
    picture = np.zeros((64, 64, 3), np.uint8)
    assert torch.equal(pal.look([picture])[0], detector.look([picture])[0])


def test_sizes_are_told_by_the_weights(detector: Detector):
    model = detector.card.model
    for backbone, channels in (
        ({**model["backbone"], "embed_dims": 8, "depths": [1, 1, 3, 1], "num_heads": [2, 2, 4, 8], "mlp_ratio": 2,
          "window_size": 7, "strides": [4, 2, 2, 2], "patch_size": 4}, [8, 16, 32, 64]),
        ({"type": "HubBackbone", "model_type": "convnext",
          "options": {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 2, 1, 1], "patch_size": 4}}, [8, 12, 16, 24]),
    ):  # fmt: skip
        head = {**model["decode_head"], "in_channels": channels, "in_index": [0, 1, 2, 3], "channels": 16}
        card = Card({**model, "backbone": backbone, "decode_head": head, "auxiliary_head": None}, 64, ("a", "b"))
        tensors = build_model(card).state_dict()
        found = card_of(parts_of({f"segmentor.{name}": one for name, one in tensors.items()}), 64)
        built = build_model(found).state_dict()
        assert {name: one.shape for name, one in built.items()} == {name: one.shape for name, one in tensors.items()}
        for name, value in backbone.items():
            if name in ("depths", "num_heads", "window_size", "patch_size"):
                assert found.model["backbone"][name] == value


def test_the_command_and_what_is_no_archive_of_pal(
    archive: Path, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (48, 40), (90, 80, 20)).save(tmp_path / "pictures" / "one.png")
    words = [str(tmp_path / "pictures"), "--size", "64", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["baseline", "pal", str(archive), *words]) == 0
    assert (tmp_path / "out" / "heat" / "one.png").exists()
    words[-1] = str(tmp_path / "other")
    capsys.readouterr()
    for wrong, told in ((small, "is no UPerNet of two classes"), (tmp_path / "none.pt", "does not exist")):
        assert main(["baseline", "pal", str(wrong), *words]) == 2
        line = capsys.readouterr().err
        assert told in line
        assert line.count("\n") == 1


def test_numbers_come_back_as_they_are(small: Path):
    found, wanted = read_script(small), torch.jit.load(str(small)).state_dict()
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        assert torch.equal(found[name], one.float() if one.is_floating_point() else one), name


def test_weights_that_were_frozen_have_no_names(tmp_path: Path):
    net = torch.jit.script(torch.nn.Conv2d(3, 4, 3).eval())
    torch.jit.freeze(net).save(str(tmp_path / "frozen.pt"))
    with pytest.raises(CheckpointError, match="without weights by name"):
        read_script(tmp_path / "frozen.pt")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_pickle_that_calls_something_calls_nothing(small: Path, tmp_path: Path):
    trap = pickle.dumps({"weight": Trap(tmp_path / "sprung")}, protocol=2)
    with pytest.raises(CheckpointError):
        read_script(rewritten(small, tmp_path / "trap.pt", {"data.pkl": trap}))
    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap)
    assert (tmp_path / "sprung").exists()


def tensor_pickle(shape: tuple[int, ...], strides: tuple[int, ...], count: int, offset: int = 0) -> bytes:
    """An object with one tensor `weight` over data/0, as torch's writer puts it."""
    out = io.BytesIO()

    def number(value: int) -> bytes:
        if value < 1 << 31:
            return b"J" + value.to_bytes(4, "little", signed=True)
        return b"\x8a\x08" + value.to_bytes(8, "little")

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    out.write(b"\x80\x02c__torch__\nNet\n)\x81}(" + text("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n(")
    out.write(b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(count) + b"tQ")
    out.write(number(offset) + b"(" + b"".join(map(number, shape)) + b"t(" + b"".join(map(number, strides)) + b"t")
    out.write(b"\x89ccollections\nOrderedDict\n)RtRub.")
    return out.getvalue()


@pytest.mark.parametrize(
    ("shape", "strides", "count", "offset", "told"),
    [
        ((1 << 20, 1 << 20), (0, 0), 8, 0, "claim more bytes than it has"),
        ((4,), (1,), 8, 5, "reaches out of"),
        ((4,), (1,), 1 << 20, 0, "bytes for 1048576 numbers"),
        ((2,), (1 << 40,), 8, 0, "reaches out of"),
        ((2, 2), (1,), 8, 0, "not described as torch does"),
    ],
)
def test_tensors_without_their_numbers(
    small: Path, tmp_path: Path, shape: Any, strides: Any, count: int, offset: int, told: str
):
    change = {
        "data.pkl": tensor_pickle(shape, strides, count, offset),
        "data/0": np.arange(8, dtype=np.float32).tobytes(),
    }
    with pytest.raises(CheckpointError, match=told):
        read_script(rewritten(small, tmp_path / "claim.pt", change))


def test_a_tensor_by_hand(small: Path, tmp_path: Path):
    change = {"data.pkl": tensor_pickle((2, 3), (1, 2), 8, 1), "data/0": np.arange(8, dtype=np.float32).tobytes()}
    found = read_script(rewritten(small, tmp_path / "hand.pt", change))
    assert found["weight"].tolist() == [[1, 3, 5], [2, 4, 6]]


def test_what_is_damaged_is_one_line(small: Path, tmp_path: Path):
    cases = {
        "compressed.pt": rewritten(small, tmp_path / "compressed.pt", {}, ("data.pkl",)),
        "lost.pt": rewritten(small, tmp_path / "lost.pt", {"data/0": None}),
        "big.pt": rewritten(small, tmp_path / "big.pt", {"byteorder": b"big"}),
    }
    for size in (0, 100, small.stat().st_size // 2):
        (tmp_path / f"cut{size}.pt").write_bytes(small.read_bytes()[:size])
        cases[f"cut{size}"] = tmp_path / f"cut{size}.pt"
    for name, path in cases.items():
        with pytest.raises(CheckpointError, match="is damaged or no TorchScript archive") as caught:
            read_script(path)
        assert "\n" not in str(caught.value), name


def test_bytes_changed_at_random_give_tensors_or_one_line(small: Path, tmp_path: Path):
    with zipfile.ZipFile(small) as opened:
        data = opened.read(next(name for name in opened.namelist() if name.endswith("/data.pkl")))
    rng, refused = random.Random(0), 0
    for _ in range(150):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        path = rewritten(small, tmp_path / "changed.pt", {"data.pkl": bytes(changed)})
        try:
            found = read_script(path)
        except CheckpointError:
            refused += 1
        else:
            assert sum(math.prod(one.shape) for one in found.values()) < 1000
    assert 20 < refused < 150


def test_an_archive_is_known_by_what_is_in_it(archive: Path, tmp_path: Path):
    shutil.copyfile(archive, tmp_path / "best_torchscript.pth")
    assert is_script(tmp_path / "best_torchscript.pth")
    assert not is_script(SWIN)
    assert not is_script(tmp_path)
