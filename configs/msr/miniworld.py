"""Every table in its embedded form: the small segmenter, a hundred labels, generated shards, and both."""

segmenter = "detector/weights/segmenter_mini"
per_pixel = "detector/weights/swin_mini.safetensors"
adaptation = "configs/detector/msr_mini.py"
labels = "miniworld/sets/v1/select"
validation = "miniworld/sets/v1/validation"
arms = (
    dict(name="MSR, zero-shot"),
    dict(name="MSR, zero-shot, no outlines", boundary=2),
    dict(name="MSR, 10 labels", shards=(labels,), limit=10),
    dict(name="MSR, 100 labels", shards=(labels,)),
    dict(name="MSR, 100 labels, no outlines", shards=(labels,), config="configs/detector/msr_mini_outlines.py"),
    dict(name="MSR, shards", shards=("{shards}",)),
    dict(name="MSR, shards and 100 labels", shards=(labels, "{shards}")),
    dict(name="UPerNet, 10 labels", shards=(labels,), limit=10, config="configs/detector/swin_mini.py"),
    dict(name="UPerNet, 100 labels", shards=(labels,), config="configs/detector/swin_mini.py"),
    dict(name="UPerNet, shards", shards=("{shards}",), config="configs/detector/swin_mini.py"),
    dict(name="UPerNet, shards and 100 labels", shards=(labels, "{shards}"), config="configs/detector/swin_mini.py"),
)
main = "MSR, 100 labels"
compare = (
    ("MSR, 10 labels", "MSR, zero-shot"),
    ("MSR, 10 labels", "UPerNet, 10 labels"),
    ("MSR, 100 labels", "UPerNet, 100 labels"),
    ("MSR, zero-shot, no outlines", "MSR, zero-shot"),
    ("MSR, 100 labels, no outlines", "MSR, 100 labels"),
    ("MSR, 100 labels, no outlines", "UPerNet, 100 labels"),
    ("MSR, shards", "MSR, 100 labels"),
    ("MSR, shards and 100 labels", "MSR, 100 labels"),
)
tests = (
    dict(name="wild", shards="miniworld/sets/v1/wild-test"),
    dict(name="faults", shards="miniworld/sets/v1/faults-test"),
)
real = (dict(name="clean", shards="miniworld/sets/v1/clean-test", by="kind"),)
del labels
