"""What all detectors share: the data, the schedule of Menn et al. 2025, and mmengine's runner with our loop."""

custom_imports = dict(imports=["detector.registry"])
default_scope = "mmseg"
randomness = dict(seed=0)

image_size = 512
initialise = dict(source="openmmlab/upernet-swin-tiny", part="all", revision="main")
# Samples whose labels set the classifiers' bias to the frequency of the classes; 0 leaves it at 0, as the papers do.
prior_samples = 0
# Iterations between lines of log.jsonl, and between states to resume from.
log_every = 50
state_every = 500

# mmseg's recipe of PAL4VST, without photometric distortion.
train_pipeline = [
    dict(type="RandomResize", scale=(512, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Light", gain=0.0, tint=0.0),
    dict(type="PackSegInputs"),
]
val_pipeline = [dict(type="ResizeImage", size=512), dict(type="PackSegInputs")]

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    # together: a sample and its clean twin, where they stand side by side in the shards, come into one batch.
    # even: each folder of shards gives as many draws as the largest.
    sampler=dict(type="DrawSampler", seed=0, together=False, even=False),
    dataset=dict(type="ShardDataset", shards=["out/shards"], pipeline=train_pipeline, seed=0, limit=0),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ShardDataset", shards=["out/validation"], pipeline=val_pipeline, limit=0),
)
val_evaluator = dict(type="ArtifactIoU")
val_score = "val/artifact_iou"
val_cfg = dict(type="ValLoop")

# Stop after so many validations in a row without a new best score; 0 goes on to the end.
train_cfg = dict(type="RestartableLoop", max_iters=10000, val_interval=500, patience=0)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=None,
    paramwise_cfg=dict(
        custom_keys=dict(
            absolute_pos_embed=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
            norm=dict(decay_mult=0.0),
        )
    ),
)
# The papers name no schedule for 10,000 iterations; this is mmseg's for Swin, brought to their end.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=10000),
]

# We have our own bar, log and states.
default_hooks = dict(
    runtime_info=None, timer=None, sampler_seed=None, logger=None, param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=None,
)  # fmt: skip
visualizer = dict(type="Visualizer", vis_backends=[])
log_level = "ERROR"
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
# With several processes BN becomes torch's SyncBatchNorm.
sync_bn = "torch"
