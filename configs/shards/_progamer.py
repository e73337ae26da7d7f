"""Base: 10,000 pictures drawn from a million of DALL-E 3, the paper's "HPS", read by range from the hub's tars."""

source = dict(
    name="webdataset",
    options=dict(
        tars="hf://datasets/ProGamerGov/synthetic-dataset-1m-dalle3-high-quality-captions/data/"
        "data-{000000..000068}.tar",
        # CLIP reads 77 tokens: the long captions would be cut.
        caption_keys=["short_caption", "short_caption2", "original_prompt"],
        set_name="progamer-dalle3",
        licence="MIT",
        select=dict(count=10_000, seed=0),
    ),
)
