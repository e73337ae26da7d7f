"""World: the embedded generator, where an oracle knows the truth. The paper's corruption on rendered scenes."""

line = "configs/shards/miniworld_step40.py"
set = ["source.options.count=2000", "source.options.first_seed=500000"]
backbones = ["swin_mini"]
iterations = 1500
validation = "miniworld/sets/v1/validation"
sets = dict(labels="miniworld/sets/v1/select")
tests = {
    "wild": "miniworld/sets/v1/wild-test",
    "drawn faults": "miniworld/sets/v1/faults-test",
    "clean": "miniworld/sets/v1/clean-test",
}
