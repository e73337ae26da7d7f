"""Base: training pictures of RichHF-18k, from the shards that `python -m shards import richhf` makes.

The paper keeps 7,801 and trains the region selector on 100 of them.
"""

source = dict(name="shards", options=dict(where="out/richhf/train", limit=7701))
