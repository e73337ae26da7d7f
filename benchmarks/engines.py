"""A Ray cluster on this machine against plain processes, and an object store against a folder: images/s of each.

    python -m benchmarks.engines --n 192 --rounds 3 --out out/bench

Each way makes the same run of the embedded world with its own command, `--processes` of them or as many actors; they
take turns, so that what else the machine does falls on all. The rate is that between the first done mark of the last
worker to begin and the end, so that what an engine takes to start is told apart. The S3 server is moto's, on this
machine and its processors: the ratio to a folder holds its work too.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import spread, write_report

SERVER = """
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
BUCKET = "bench"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True)
class Result:
    """Of one run."""

    seconds: float
    """From the command to its end."""
    images_per_s: float
    """While all workers were at work."""
    tars: dict[str, str]
    """sha256 of each."""


def main() -> int:
    """Command line."""
    args = arguments()
    command = [sys.executable, "-m", "blemish", "shards", args.config, "--set", f"source.options.count={args.n}"]
    command += ["--set", f"samples.sources_per_shard={args.per_shard}", "--set", "compute.num_threads=1"]
    for text in args.overrides:
        command += ["--set", text]
    rounds: list[dict[str, Result]] = []
    with tempfile.TemporaryDirectory(prefix="blemish-") as folder, s3_server(args.s3) as environ:
        for number in range(args.rounds):
            ways = ways_of(command, Path(folder) / str(number), args, environ, number)
            order = list(ways) if number % 2 == 0 else list(ways)[::-1]
            done = {name: ways[name]() for name in order}
            if len({tuple(sorted(one.tars.items())) for one in done.values()}) != 1:
                print("the ways gave different bytes")
                return 1
            rounds.append(done)
            print({name: (round(one.images_per_s, 3), round(one.seconds, 1)) for name, one in done.items()}, flush=True)
    report(args, rounds)
    return 0


def ways_of(
    command: list[str], root: Path, args: argparse.Namespace, environ: dict[str, str], number: int
) -> dict[str, Callable[[], Result]]:
    """Name -> what makes the run once."""
    many = args.processes
    ranks = [["--rank", str(rank), "--num-processes", str(many)] for rank in range(many)]
    ways: dict[str, Callable[[], Result]] = {}
    if args.ray:
        actors = [["--engine", "ray", "--actors", str(many), "--actor-cpus", "1", "--wait", "120"]]
        ways["processes"] = lambda: in_folder(command, root / "processes", ranks, many, args)
        ways["ray"] = lambda: in_folder(command, root / "ray", actors, many, args)
    if args.s3:
        ways["folder"] = lambda: in_folder(command, root / "folder", [[]], 1, args)
        ways["s3"] = lambda: in_store(command, f"s3://{BUCKET}/{number}", environ, args)
    return ways


def in_folder(command: list[str], out: Path, words: list[list[str]], workers: int, args: argparse.Namespace) -> Result:
    """Start the commands and wait for them."""
    began = time.time()
    started = [subprocess.Popen([*command, "--out", str(out), *more], stdout=subprocess.DEVNULL) for more in words]
    codes = [process.wait() for process in started]
    if any(codes):
        raise RuntimeError(f"a command failed: {words}")
    ended = time.time()
    marks = [path.stat().st_mtime for path in (out / "shards").glob("*.stats.json")]
    tars = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (out / "shards").glob("*.tar")}
    return Result(ended - began, rate(marks, workers, args.per_shard), tars)


def in_store(command: list[str], out: str, environ: dict[str, str], args: argparse.Namespace) -> Result:
    """The same with an object store."""
    import obstore

    began = time.time()
    subprocess.run([*command, "--out", out], env={**os.environ, **environ}, stdout=subprocess.DEVNULL, check=True)
    ended = time.time()
    os.environ.update(environ)
    store = obstore.store.from_url(out, client_options={"allow_http": True})
    listed = [one for batch in obstore.list(store, "shards") for one in batch]
    marks = [one["last_modified"].timestamp() for one in listed if one["path"].endswith(".stats.json")]
    names = [one["path"] for one in listed if one["path"].endswith(".tar")]
    tars = {
        name.rpartition("/")[2]: hashlib.sha256(bytes(obstore.get(store, name).bytes())).hexdigest() for name in names
    }
    return Result(ended - began, rate(marks, 1, args.per_shard), tars)


def rate(marks: list[float], workers: int, per_shard: int) -> float:
    """Images a second from the time at which as many shards as there are workers were done."""
    marks = sorted(marks)
    return (len(marks) - workers) * per_shard / max(marks[-1] - marks[workers - 1], 1e-9)


@contextmanager
def s3_server(wanted: bool) -> Iterator[dict[str, str]]:
    """moto's server in a process of its own; what a client's environment needs."""
    if not wanted:
        yield {}
        return
    import urllib.request

    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).read()
        yield {**KEYS, "AWS_ENDPOINT_URL": url}
    finally:
        process.kill()
        process.wait()


def report(args: argparse.Namespace, rounds: list[dict[str, Result]]) -> None:
    """One row for each way, and the ratio of each round."""
    names = {
        "processes": f"{args.processes} processes, one folder",
        "ray": f"Ray, {args.processes} actors, one folder",
        "folder": "1 process, a folder",
        "s3": "1 process, S3 (moto)",
    }
    rows = [
        {
            "name": names[name],
            "rate": spread([one[name].images_per_s for one in rounds]),
            "seconds": spread([one[name].seconds for one in rounds]),
        }
        for name in rounds[0]
    ]
    pairs = [("ray", "processes"), ("s3", "folder")]
    ratios: dict[str, Any] = {
        f"{one}/{other}": spread([done[one].images_per_s / done[other].images_per_s for done in rounds])
        for one, other in pairs
        if one in rounds[0]
    }
    told = "; ".join(f"{name} {r['median']:.2f} ({r['q25']:.2f} to {r['q75']:.2f})" for name, r in ratios.items())
    columns = {"name": "", "rate": "images/s", "seconds": "seconds in all"}
    title = f"Engines and places: {told} of the rate, equal bytes"
    write_report(args.out, "engines", title, columns, rows, ratios=ratios)


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--config", default="configs/shards/miniworld_once.py")
    top.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=V")
    top.add_argument("--n", type=int, default=192, help="scenes of the embedded world (default 192)")
    top.add_argument("--per-shard", type=int, default=8, help="of them in a shard (default 8)")
    top.add_argument("--processes", type=int, default=2, help="processes, and actors (default 2)")
    top.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    top.add_argument("--ray", action=argparse.BooleanOptionalAction, default=True, help="Ray against processes")
    top.add_argument("--s3", action=argparse.BooleanOptionalAction, default=True, help="S3 against a folder")
    top.add_argument("--out", type=Path, required=True)
    args = top.parse_args()
    if args.n % args.per_shard:
        top.error("--n must be a multiple of --per-shard")
    return args


if __name__ == "__main__":
    sys.exit(main())
