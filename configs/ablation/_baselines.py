"""Arms of table 1 of Menn et al. 2025 to compare with: the labels alone, the selector's masks alone."""

arms = [
    dict(name="100 labels", shards="labels"),
    dict(
        name="pseudo labels",
        selector="100 labels",
        set=["corruption.sham=True", "corruption.verification.policy='keep'", "corruption.ladder=None"],
    ),
]
