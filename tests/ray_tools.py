"""A real Ray cluster of several nodes on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shards.cluster import Handlers

STARTS = 4


@contextmanager
def opened(*folders: str) -> Iterator[Any]:
    """A cluster whose head takes no actors; its nodes find modules where this process does, and in these folders."""
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'blemish[ray]')")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    before, os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH", ""), os.pathsep.join([*folders, *sys.path])
    handlers = Handlers()
    cluster = begin(Cluster)
    try:
        yield cluster
    finally:
        cluster.shutdown()
        handlers.restore()
        os.environ["PYTHONPATH"] = before


def begin(make: Any) -> Any:
    """A cluster's head. Ray gives a node 30 seconds to start, which a busy machine may not do at once."""
    for left in reversed(range(STARTS)):
        try:
            return make(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        except (Exception, SystemExit) as error:
            known = isinstance(error, SystemExit) or "timed out during startup" in str(error)
            if not known or not left:
                raise
    raise AssertionError


def empty(cluster: Any) -> None:
    """Remove the nodes that a test added."""
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node, allow_graceful=False)
    cluster.wait_for_nodes()
