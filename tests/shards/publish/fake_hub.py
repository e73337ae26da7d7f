"""A server that speaks the part of the hub's HTTP interface that an upload uses, with faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class State:
    """What the hub holds: files as they were committed, objects as they were put, and what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    is_lfs: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    commits: list[list[str]] = field(default_factory=list)
    puts: int = 0
    commits_left: int = 1000
    """After so many the server answers 500."""


class Handler(BaseHTTPRequestHandler):
    state: State

    def log_message(self, *args: Any) -> None:
        pass

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, value: Any, code: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self) -> None:
        oid, data = self.path.rpartition("/")[2], self.body()
        assert hashlib.sha256(data).hexdigest() == oid
        self.state.objects[oid] = data
        self.state.puts += 1
        self.answer({})

    def do_GET(self) -> None:
        assert self.path.startswith("/api/datasets/me/set/tree/main"), self.path
        rows = []
        for path, data in sorted(self.state.files.items()):
            row: dict[str, Any] = {"type": "file", "path": path, "size": len(data)}
            row["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if path in self.state.is_lfs:
                row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            rows.append(row)
        self.answer([{"type": "directory", "path": "shards", "oid": "0" * 40}, *rows])

    def do_POST(self) -> None:
        data = self.body()
        host = f"http://{self.headers['Host']}"
        if self.path == "/api/repos/create":
            self.state.created.append(json.loads(data))
            self.answer({"url": f"{host}/datasets/me/set", "name": "me/set", "id": "0"})
        elif self.path == "/api/validate-yaml":
            assert json.loads(data)["content"].startswith("---\n")
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(data)["files"]
            modes = {True: "lfs", False: "regular"}
            self.answer(
                {
                    "files": [
                        {"path": one["path"], "uploadMode": modes[one["path"].endswith((".tar", ".png"))]}
                        | {"shouldIgnore": False, "oid": None}
                        for one in files
                    ]
                }
            )
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {"oid": one["oid"], "size": one["size"]}
                | (
                    {}
                    if one["oid"] in self.state.objects
                    else {"actions": {"upload": {"href": f"{host}/put/{one['oid']}"}}}
                )
                for one in json.loads(data)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif "/commit/main" in self.path:
            self.commit([json.loads(line) for line in data.splitlines()])
        else:
            self.answer({"error": f"not known here: {self.path}"}, 404)

    def commit(self, lines: list[dict[str, Any]]) -> None:
        if self.state.commits_left <= 0:
            self.answer({"error": "the hub is out of order"}, 500)
            return
        self.state.commits_left -= 1
        names = []
        for line in lines[1:]:
            value = line["value"]
            names.append(value["path"])
            if line["key"] == "lfsFile":
                self.state.files[value["path"]] = self.state.objects[value["oid"]]
                self.state.is_lfs.add(value["path"])
            else:
                assert line["key"] == "file"
                self.state.files[value["path"]] = base64.b64decode(value["content"])
        self.state.commits.append(names)
        where = f"http://{self.headers['Host']}/datasets/me/set/commit/{'0' * 40}"
        self.answer({"commitUrl": where, "commitOid": "0" * 40})


class FakeHub:
    """A context manager; `address` is its endpoint."""

    def __init__(self) -> None:
        self.state = State()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": self.state}))
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
