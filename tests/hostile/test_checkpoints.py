"""Files of weights from strangers: nothing is run, fetched or built that they ask for; one line each."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoint_cases import CARDS, GOOD, TORCH, good, header_length, set_at, sparse_file, torch_bytes, with_card
from harness import batches, run, run_apart
from mutate import mutated, mutated_json
from PIL import Image

from detector.checkpoint import load_detector
from detector.errors import CheckpointError


@pytest.fixture(scope="module", autouse=True)
def parts():
    """The tensors and the card of a good file; what is imported late is imported here, outside of any time limit."""
    load_detector(GOOD)
    return good()


@pytest.fixture
def place(tmp_path):
    """A folder with one picture to look at."""
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / "pictures" / "a.png")
    return tmp_path


def predict(place: Path, name: str) -> str:
    """What `predict` says of a file of weights that it must refuse."""
    done = run(["detector", "predict", name, "pictures", "--out", "seen", "--device", "cpu"], place, codes=(2,))
    return done.err


@pytest.mark.parametrize("kind", CARDS)
def test_cards(kind, parts, place):
    tensors, card = parts
    where, value, said = CARDS[kind]
    (place / "w.safetensors").write_bytes(with_card(tensors, set_at(card, where, value)))
    assert said in predict(place, "w.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "null",
        "[]",
        "{}",
        "[" * 50_000,
        '{"model": NaN}',
        "\ud800".encode("utf-8", "replace").decode(),
        "x" * (1 << 21),
    ],
)
def test_cards_that_are_none(text, parts, place):
    (place / "w.safetensors").write_bytes(with_card(parts[0], text))
    assert "card" in predict(place, "w.safetensors")


@pytest.mark.parametrize("kind", TORCH)
def test_torch_files(kind, place):
    make, said = TORCH[kind]
    (place / "w.pth").write_bytes(make(place))
    assert said in predict(place, "w.pth")


@pytest.mark.parametrize("length", [0, 1, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_lengths_of_headers(length, parts, place):
    (place / "w.safetensors").write_bytes(header_length(with_card(*parts), length))
    assert "w.safetensors" in predict(place, "w.safetensors")


def test_older_cards_hold_losses_which_are_dropped(parts, place):
    tensors, card = parts
    loss = {"type": "CrossEntropyLoss", "loss_weight": 0.4, "class_weight": [1.0, 3.0]}
    (place / "w.safetensors").write_bytes(with_card(tensors, set_at(card, "model.decode_head.loss_decode", loss)))
    _, told = load_detector(place / "w.safetensors")
    assert "loss_decode" not in told.to_json()
    assert told == load_detector(GOOD)[1]


@pytest.mark.parametrize("kind", ["fifo", "folder", "missing", "device"])
def test_files_that_are_none(kind, place):
    path = place / "w.pth"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    assert "w.pth" in predict(place, "w.pth")


def test_export_and_initialise_refuse_them_too(parts, place):
    tensors, card = parts
    (place / "w.safetensors").write_bytes(with_card(tensors, set_at(card, "model.backbone._scope_", "evil")))
    done = run(["detector", "export", "w.safetensors", "--out", "x.safetensors"], place, "x.safetensors", codes=(2,))
    assert "_scope_" in done.err
    with pytest.raises(CheckpointError, match="_scope_"):
        load_detector(place / "w.safetensors")


WATCHED = """
import sys
from detector.heat import Detector
from detector.checkpoint import load_detector
for path in sys.argv[1:3]:
    load_detector(path)  # imports what is imported late
opened = []
def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "import")):
        opened.append((event, path, str(arguments)))
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[0] != path:
        opened.append((event, path, str(arguments)))
sys.addaudithook(watch)
for path in sys.argv[1:]:
    try:
        Detector(path, device="cpu")
        print("read")
    except ValueError as error:
        print("refused")
watch = None
print(opened)
"""


def test_nothing_but_the_file_is_touched(parts, tmp_path):
    tensors, card = parts
    loss = {"type": "CrossEntropyLoss", "class_weight": str(tmp_path / "evil.pkl")}
    files = {
        "good.safetensors": with_card(tensors, card),
        "good.pth": torch_bytes({"state_dict": tensors, "meta": {"card": json.dumps(card)}}),
        "loss.safetensors": with_card(tensors, set_at(card, "model.decode_head.loss_decode", loss)),
        "scope.safetensors": with_card(tensors, set_at(card, "model.backbone._scope_", "torch")),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", WATCHED, *(str(tmp_path / name) for name in files)]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env={**os.environ, "PYTHONPATH": root})
    assert done.stdout.splitlines() == ["read", "read", "refused", "refused", "[]"], done.stdout + done.stderr


def test_no_network(parts, place, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    tensors, card = parts
    (place / "w.safetensors").write_bytes(with_card(tensors, card))
    run(["detector", "predict", "w.safetensors", "pictures", "--out", "seen", "--device", "cpu"], place, "seen", (0,))


@pytest.mark.parametrize("seeds", batches(ci=10, slow=200, size=5))
def test_mutated_cards(seeds, parts, place):
    tensors, card = parts
    for seed in seeds:
        text = mutated_json(card, seed).decode("utf-8", "replace")
        (place / "w.safetensors").write_bytes(with_card(tensors, text))
        out = f"seen{seed}"
        run(["detector", "predict", "w.safetensors", "pictures", "--out", out, "--device", "cpu"], place, out)


@pytest.mark.parametrize("seeds", batches(ci=10, slow=200, size=5))
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_mutated_files(kind, seeds, parts, place):
    tensors, card = parts
    state = {"state_dict": tensors, "meta": {"card": json.dumps(card)}}
    whole = with_card(tensors, card) if kind == "safetensors" else torch_bytes(state)
    head = 1 << 15
    for seed in seeds:
        # Where the structure is: the first bytes, and of an archive the last.
        data = mutated(whole[:head], seed) + whole[head:] if seed % 2 else whole[:-head] + mutated(whole[-head:], seed)
        (place / f"w.{kind}").write_bytes(data)
        out = f"seen{seed}"
        run(["detector", "predict", f"w.{kind}", "pictures", "--out", out, "--device", "cpu"], place, out)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["expanded", "deflated", "bytearray", "sparse file"])
def test_memory(kind, place):
    name = "w.safetensors" if kind == "sparse file" else "w.pth"
    if kind == "sparse file":
        sparse_file(place / name, 3 << 32)
    else:
        (place / name).write_bytes(TORCH[kind][0](place))
    run_apart(["detector", "predict", name, "pictures", "--out", "seen"], place, codes=(2,))
