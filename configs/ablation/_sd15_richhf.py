"""World: Stable Diffusion 1.5 on RichHF-18k, tested on its human labels and on PAL's (docs/how-to/human_sets.md)."""

line = "configs/shards/sd15_richhf_step40.py"
backbones = ["swin_t", "convnext_t"]
iterations = 10_000
validation = "out/richhf/dev"
sets = dict(labels="out/richhf/select")
tests = {"RichHF": "out/richhf/test", "PAL": "out/pal/unified/test"}
