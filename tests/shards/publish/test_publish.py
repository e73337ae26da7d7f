"""Publishing: what is sent, byte for byte, to a server that speaks the hub's interface; faults; names; dry run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_hub import FakeHub

from shards.__main__ import main
from shards.check import check_run
from shards.publish.hub import commits
from shards.publish.plan import File, check_name, plan_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        yield server


def publish(run: Path, hub: FakeHub, *words: str, commit_files: int = 60) -> subprocess.CompletedProcess[str]:
    """`python -m shards publish` in a process of its own, the hub's own client against the server here."""
    code = (
        "import sys, shards.publish.hub as hub\n"
        f"hub.COMMIT_FILES = {commit_files}\n"
        "from shards.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    )
    settings = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_of_tests"}
    settings |= {"HF_HOME": str(run.parent / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, "publish", str(run), "me/set", *words],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def run(tmp_path: Path, run_maker: Any) -> Path:
    """Three shards, with files beside them that must stay here."""
    run_maker(tmp_path / "run", num_shards=3)
    for name in (".local.json", "progress.jsonl", "inputs.jsonl", "mine.txt"):
        (tmp_path / "run" / name).write_text("{}")
    (tmp_path / "run" / "view").mkdir()
    (tmp_path / "run" / "view" / "index.html").write_text("<p>")
    return tmp_path / "run"


def test_what_arrives_is_a_whole_run_and_nothing_else(run: Path, hub: FakeHub, tmp_path: Path):
    done = publish(run, hub, commit_files=4)
    assert done.returncode == 0, done.stderr
    state = hub.state
    assert state.created == [{"name": "set", "organization": "me", "type": "dataset", "visibility": "private"}]
    assert state.commits[-1] == ["sheet.png", "README.md", "croissant.json", "rejects.jsonl", "manifest.json"]
    assert all(name.startswith("shards/") for names in state.commits[:-1] for name in names)
    assert [len(names) for names in state.commits[:-1]] == [4, 4, 1]
    wanted = {f"shards/0000{shard}.{kind}" for shard in range(3) for kind in ("tar", "stats.json", "rejects.jsonl")}
    assert state.files.keys() == wanted | set(state.commits[-1])
    arrived = tmp_path / "arrived"
    (arrived / "shards").mkdir(parents=True)
    for name, data in state.files.items():
        (arrived / name).write_bytes(data)
    report = check_run(arrived)
    assert report.ok, report.problems
    for name in wanted | {"manifest.json", "rejects.jsonl"}:
        assert (arrived / name).read_bytes() == (run / name).read_bytes()
    facts = json.loads(state.files["croissant.json"])
    assert facts["url"] == "https://huggingface.co/datasets/me/set"


def test_the_card(run: Path):
    plan = plan_of(run, "me/set")
    (card,) = [file.content for file in plan.files if file.name == "README.md"]
    assert isinstance(card, bytes)
    text = card.decode()
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "apache-2.0"
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "shards/*.tar"}]
    assert "# Tiny run\n\n![Clean twin, mask and sample, side by side](sheet.png)\n" in text
    assert "12 samples in 3 shards: 6 with artifacts, 6 clean." in text
    assert 'load_dataset("me/set", split="train")' in text
    assert "| `seed` | `1` |" in text
    assert "| `corruption.start_step` |" in text
    (sheet,) = [file.content for file in plan.files if file.name == "sheet.png"]
    assert isinstance(sheet, bytes)
    assert sheet.startswith(b"\x89PNG")
    assert plan_of(run, "me/set") == plan  # the same bytes, so that nothing is sent twice


def test_the_same_command_resumes_and_sends_nothing_twice(run: Path, hub: FakeHub):
    hub.state.commits_left = 1
    broken = publish(run, hub, commit_files=3)
    assert broken.returncode == 2
    assert broken.stderr.count("\n") == 1, broken.stderr
    assert "datasets/me/set could not be written" in broken.stderr
    assert "manifest.json" not in hub.state.files
    assert len(hub.state.commits) == 1
    hub.state.commits_left = 1000
    puts = hub.state.puts
    done = publish(run, hub, commit_files=3)
    assert done.returncode == 0, done.stderr
    assert hub.state.puts - puts == 2  # the last shard and the sheet: the second shard had arrived without its commit
    assert not set(hub.state.commits[0]) & {name for names in hub.state.commits[1:] for name in names}
    again = publish(run, hub)
    assert again.returncode == 0
    assert "nothing was sent" in again.stdout
    assert len(hub.state.commits) == 4


def test_another_run_or_other_files_are_refused(run: Path, hub: FakeHub, tmp_path: Path, run_maker: Any):
    hub.state.files["README.md"] = b"# mine"
    hub.state.files["data/train.csv"] = b"a,b"
    refused = publish(run, hub)
    assert refused.returncode == 2
    assert refused.stderr == "error: datasets/me/set holds 1 other files (data/train.csv); choose another name\n"
    del hub.state.files["data/train.csv"]
    hub.state.files["shards/00001.tar"] = b"another"
    refused = publish(run, hub)
    assert refused.returncode == 2
    assert "holds another run (shards/00001.tar has other bytes there)" in refused.stderr
    assert not hub.state.commits


def test_a_shard_that_the_manifest_does_not_name_is_not_sent(run: Path, hub: FakeHub):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["shards"][2]["sha256"] = "0" * 64
    (run / "manifest.json").write_text(json.dumps(manifest))
    done = publish(run, hub, commit_files=3)
    assert done.returncode == 2
    assert "is not as" in done.stderr
    assert "shards/00002.tar" not in hub.state.files
    assert "manifest.json" not in hub.state.files


def test_a_hub_that_cannot_be_reached_is_one_line(run: Path, hub: FakeHub):
    hub.server.server_close()
    hub.address = "http://127.0.0.1:9"
    done = publish(run, hub)
    assert done.returncode == 2
    assert done.stderr.startswith("error: datasets/me/set could not be written: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    ["", "set", "me/", "/set", "me/set/x", "me/se t", "me/-set", "me/set-", "me/a--b", "me/a..b", "me/x.git", "me/é",
     "me/" + "a" * 97, "https://huggingface.co/me/set", "me/set\n", "../set"],
)  # fmt: skip
def test_malformed_names_are_refused_before_anything_is_looked_at(name: str, tmp_path: Path, capsys: Any):
    assert main(["publish", str(tmp_path / "no run"), name]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "is no name of a dataset" in said
    assert said.count("\n") == 1


def test_names_that_the_hub_takes():
    from huggingface_hub.utils import validate_repo_id

    for name in ("me/set", "a/b", "My_Org/set.v1", "me/a-b_c.d", "me/" + "a" * 96, "1/2"):
        check_name(name)
        validate_repo_id(name)


def test_a_dry_run_lists_files_and_bytes_and_needs_no_network(run: Path, monkeypatch: Any, capsys: Any):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["publish", str(run), "me/set", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines[:-1]}
    assert listed["shards/00001.tar"] == (run / "shards" / "00001.tar").stat().st_size
    assert len(listed) == 14
    assert lines[-1].split()[0] == f"{sum(listed.values()):,}"
    assert lines[-1].endswith("in 14 files for datasets/me/set; nothing was sent")


def test_what_is_no_finished_run(tmp_path: Path, run_maker: Any, capsys: Any):
    assert main(["publish", str(tmp_path), "me/set", "--dry-run"]) == 2
    assert "holds no run of shards" in capsys.readouterr().err
    run_maker(tmp_path / "half", finalise=False)
    assert main(["publish", str(tmp_path / "half"), "me/set", "--dry-run"]) == 2
    assert "is not finished" in capsys.readouterr().err
    run_maker(tmp_path / "run")
    (tmp_path / "run" / "shards" / "00001.tar").unlink()
    assert main(["publish", str(tmp_path / "run"), "me/set", "--dry-run"]) == 2
    assert "00001.tar is not there" in capsys.readouterr().err
    shutil.copyfile(tmp_path / "half" / "manifest.json", tmp_path / "run" / "manifest.json")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    manifest |= {"totals": {}, "shards": [{"name": "../../etc/passwd", "sha256": "0" * 64}]}
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    assert main(["publish", str(tmp_path / "run"), "me/set", "--dry-run"]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_commits_by_hand(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr("shards.publish.hub.COMMIT_BYTES", 10)
    files = [File(f"shards/{n}.tar", b"", size, "0") for n, size in enumerate((4, 6, 11, 1, 2))]
    files += [File("README.md", b"", 100), File("manifest.json", b"", 100)]
    sizes = [[file.size for file in batch] for batch in commits(files)]
    assert sizes == [[4, 6], [11], [1, 2], [100, 100]]
