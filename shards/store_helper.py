"""`python -m shards.store_helper URL`: reads objects for a forked process, over its standard input and output."""

from __future__ import annotations

import signal
import sys

from shards.store_reads import serve
from shards.stores import Address

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks; this one ends with its questions
    serve(Address(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
