"""Reading a run from an object store: requests, bytes and seconds of each way, against a folder.

    python -m benchmarks.store_reads --n 128 --rounds 3 --out out/bench

The run is made here, of smooth noise. The S3 server is moto's, on this machine: requests and bytes are what they are
anywhere, seconds are those of a store that is near and slow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.engines import BUCKET, KEYS
from benchmarks.report import spread, write_report
from shards.masks import U8
from shards.reader import ShardReader
from shards.schema import CorruptionMeta, Meta, Sample, SourceMeta, make_key
from shards.stores import Address, ObjectStore
from shards.writer import RunInfo, RunWriter

SERVER = """
import json
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
app, counts = DomainDispatcherApplication(create_backend_app), [0, 0]
def counting(environ, start):
    if environ["PATH_INFO"] == "/-counts":
        body = json.dumps(counts).encode()
        counts[:] = 0, 0
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    body = b"".join(app(environ, start))
    counts[0] += 1
    counts[1] += len(body)
    return [body]
server = make_server("127.0.0.1", 0, counting, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
RUN = f"s3://{BUCKET}/run"


def main() -> int:
    """Command line."""
    args = arguments()
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="blemish-") as name, counting_server() as url:
        folder = Path(name)
        make_run(folder / "run", args.n, args.per_shard, args.side)
        store = ObjectStore(Address(RUN))
        for path in sorted((folder / "run").rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                store.put_file(path.relative_to(folder / "run").as_posix(), path)
        for number in range(args.rounds):
            os.environ["BLEMISH_CACHE"] = str(folder / f"cache{number}")
            for way, work in ways(folder / "run", args.n // 2).items():
                if not way.endswith("kept"):
                    os.environ["BLEMISH_CACHE"] = str(folder / f"cache{number} {way}")
                counts_of(url)
                began = time.perf_counter()
                work()
                seconds = time.perf_counter() - began
                requests, size = counts_of(url)
                found.setdefault(way, []).append({"requests": requests, "mb": size / 1e6, "seconds": seconds})
        size = sum(path.stat().st_size for path in (folder / "run/shards").glob("*.tar"))
    report(args, found, size)
    return 0


def ways(run: Path, index: int) -> dict[str, Callable[[], object]]:
    """What is read, by name; one that ends in "kept" reads with the cache of the one before."""

    def every(reader: ShardReader) -> int:
        return sum(len(reader.members(i)) for i in range(len(reader)))

    def masks(reader: ShardReader) -> int:
        return sum(int(reader.mask(i).sum()) for i in range(len(reader)))

    return {
        "one sample": lambda: ShardReader(RUN)[index],
        "one sample, index kept": lambda: ShardReader(RUN)[index],
        "all masks": lambda: masks(ShardReader(RUN)),
        "all samples": lambda: every(ShardReader(RUN)),
        "all samples, whole shards": lambda: every(ShardReader(RUN, whole=True)),
        "all samples, shards kept": lambda: every(ShardReader(RUN, whole=True)),
        "all samples, a folder": lambda: every(ShardReader(run, cache=False)),
    }


def make_run(out: Path, count: int, per_shard: int, side: int) -> None:
    """A finished run; the same on every call."""
    run = RunWriter(out, RunInfo({"side": side}, {"name": "noise", "items": count}, count // per_shard))
    for shard in run.todo():
        with run.shard(shard) as writer:
            for row in range(per_shard):
                writer.write(sample_of(shard, row, side))
    run.finalise()


def sample_of(shard: int, row: int, side: int) -> Sample:
    """A square of inverted noise in smooth noise."""
    rng = np.random.default_rng([shard, row])
    coarse = Image.fromarray(rng.integers(0, 256, (side // 4, side // 4, 3), np.uint8))
    source: U8 = np.array(coarse.resize((side, side), Image.Resampling.BICUBIC))
    image, mask = source.copy(), np.zeros((side, side), np.uint8)
    y, x = rng.integers(0, side // 2, 2)
    image[y : y + side // 4, x : x + side // 4] ^= 255
    mask[y : y + side // 4, x : x + side // 4] = 1
    origin = SourceMeta("noise", f"noise:{row}", f"{shard:032x}{row:032x}", index=row)
    return Sample(
        make_key(shard, row), image, mask, Meta("artifact", origin, corruption=CorruptionMeta("inverted")), source
    )


@contextmanager
def counting_server() -> Iterator[str]:
    """moto's server in a process of its own, with a bucket; its address. This process's environment names it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).read()
        os.environ.update({**KEYS, "AWS_ENDPOINT_URL": url})
        yield url
    finally:
        process.kill()
        process.wait()


def counts_of(url: str) -> tuple[int, int]:
    """(requests, bytes of their answers) since the last call."""
    requests, size = json.loads(urllib.request.urlopen(f"{url}/-counts").read())
    return int(requests), int(size)


def report(args: argparse.Namespace, found: dict[str, list[dict[str, float]]], size: int) -> None:
    """One row for each way."""
    rows: list[dict[str, Any]] = [
        {
            "name": way,
            "requests": f"{np.median([one['requests'] for one in rounds]):.0f}",
            "mb": float(np.median([one["mb"] for one in rounds])),
            "seconds": spread([one["seconds"] for one in rounds]),
        }
        for way, rounds in found.items()
    ]
    shards = args.n // args.per_shard
    title = f"Reading {args.n} samples in {shards} shards, {size / 1e6:.0f} MB in all, from S3 (moto)"
    write_report(
        args.out, "store_reads", title, {"name": "", "requests": "requests", "mb": "MB", "seconds": "seconds"}, rows
    )


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--n", type=int, default=128, help="samples (default 128)")
    top.add_argument("--per-shard", type=int, default=32, help="of them in a shard (default 32)")
    top.add_argument("--side", type=int, default=512, help="pixels (default 512)")
    top.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    top.add_argument("--out", type=Path, required=True)
    args = top.parse_args()
    if args.n % args.per_shard:
        top.error("--n must be a multiple of --per-shard")
    return args


if __name__ == "__main__":
    sys.exit(main())
