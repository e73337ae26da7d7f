"""moto's S3 server on this machine, with faults that happen between it and its client."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from shards.stores import Address, ObjectStore

Environ = dict[str, Any]
Start = Callable[..., Any]
KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
}


class FaultyServer:
    """Answers as S3 does, but for requests that `fault` wants otherwise.

    `fault(method, path, query)` returns "" for a request that is left alone, or "error" (503), "refused" (403), "cut"
    (half of the body arrives, and is taken for the whole), "late" (a listing without its last object), "lost" (it is
    done, and the answer is an error), "short" (the connection ends within the answer), "slow" (a third of a second).
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *args: Any, **kwargs: Any) -> None:
                pass

        self.app = DomainDispatcherApplication(create_backend_app)
        self.fault: Callable[[str, str, str], str] = lambda method, path, query: ""
        self.requests: list[tuple[str, str]] = []
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True, request_handler=Quiet)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def answer(self, environ: Environ, start: Start) -> Iterable[bytes]:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
        self.requests.append((method, path))
        fault = self.fault(method, path, query)
        if fault in ("error", "refused"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return failed(start, fault)
        if fault == "cut":
            import io

            size = int(environ["CONTENT_LENGTH"])
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(size)[: size // 2])
            environ["CONTENT_LENGTH"] = str(size // 2)
        if fault == "lost":
            list(self.app(environ, lambda *args: None))
            return failed(start, "error")
        if fault == "late":
            return self.late(environ, start)
        if fault == "short":
            body = b"".join(self.app(environ, start))
            return [body[: len(body) // 2]]  # less than its Content-Length says
        if fault == "slow":
            time.sleep(0.3)
        return self.app(environ, start)

    def late(self, environ: Environ, start: Start) -> Iterable[bytes]:
        told: list[Any] = []
        body = b"".join(self.app(environ, lambda *args: told.extend(args)))
        begin, end = body.rfind(b"<Contents>"), body.rfind(b"</Contents>")
        if begin >= 0:
            body = body[:begin] + body[end + len(b"</Contents>") :]
        start(told[0], [(name, value) for name, value in told[1] if name.lower() != "content-length"])
        return [body]

    def bucket(self, name: str, method: str = "PUT") -> None:
        """Make a bucket, or delete it and what it holds."""
        if method == "PUT":
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT")).read()
        elif name in backend().buckets:
            backend().buckets[name].keys.clear()
            backend().delete_bucket(name)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """What a bucket holds, read from the server's own memory and not through the client."""
        keys = backend().buckets[bucket].keys
        return {name: bytes(keys[name].value) for name in keys}

    def close(self) -> None:
        self.server.shutdown()


def backend() -> Any:
    """The server's own memory."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def failed(start: Start, fault: str) -> Iterable[bytes]:
    code = {"error": "503 Slow Down", "refused": "403 Forbidden"}[fault]
    name = {"error": "SlowDown", "refused": "InvalidAccessKeyId"}[fault]
    start(code, [("Content-Type", "application/xml")])
    return [f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>{name}</Message></Error>".encode()]


def upload(folder: Path, prefix: str, bucket: str = "bucket") -> None:
    """Put the files of a run under a prefix, without what stays on the machine that made it."""
    store = ObjectStore(Address(f"s3://{bucket}/{prefix}"))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith((".", "progress")):
            store.put_file(path.relative_to(folder).as_posix(), path)


def use(server: FaultyServer, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let this process read from the server, without long pauses, into a cache of its own."""
    for name, value in {**server.environment, "BLEMISH_CACHE": str(cache)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("shards.stores.FIRST_PAUSE", 0.01)
