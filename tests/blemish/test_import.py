"""What `import blemish` costs, what it offers, and the example of its docstring."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest

import blemish

HEAVY = ("torch", "numpy", "mmseg", "mmengine", "diffusers", "transformers", "PIL", "scipy")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_loads_nothing_heavy():
    code = (
        "import sys, time; began = time.perf_counter(); import blemish; took = time.perf_counter() - began\n"
        f"assert not set({HEAVY!r}) & set(sys.modules), sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "assert dir(blemish) == sorted(blemish.__all__) and not set(dir(blemish)) - set(blemish.__all__)\n"
        f"assert not set({HEAVY!r}) & set(sys.modules)\nprint(took)"
    )
    assert float(run(code)) < 0.3


def test_reading_shards_needs_no_torch():
    run(
        "import sys, blemish; blemish.ShardReader, blemish.open_run, blemish.open_source, blemish.register_source\n"
        "assert not {'torch', 'mmengine', 'diffusers'} & set(sys.modules), 'heavy'"
    )


def test_every_public_name_is_there_and_documented():
    assert len(set(blemish.__all__)) == len(blemish.__all__)
    for name in blemish.__all__:
        value = getattr(blemish, name)
        assert name == "__version__" or value.__doc__, name
    assert set(blemish._PLACES) == set(blemish.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"no attribute 'Corrupter'.*Corruptor"):
        _ = blemish.Corrupter


def test_the_example_of_the_docstring_runs():
    found = doctest.testmod(blemish, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert (found.failed, found.attempted) == (0, 5)
