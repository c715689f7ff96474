# A small plain vision transformer in mmpretrain's own words: nothing of this toolkit runs here, it draws the data only.
# Which colour has the only small object of a scene? A synthetic check: it says nothing about photographs.
#
# Commands (MMPRETRAIN is the folder of mmpretrain's tools, which its wheel brings):
#   MMPRETRAIN=$(python -c "import mmpretrain; print(mmpretrain.__path__[0] + '/.mim/tools')")
#   bus-toolkit scenes data/scenes_colours --train 16000 --val 1500 --test 0 --scenes '{
#     "shapes": ["circle", "square", "triangle", "star", "cross", "ring"], "colours": ["red", "green", "blue", "yellow",
#     "purple", "cyan", "white", "black", "orange", "pink"]}'
#   python registry_configs/_openmmlab_/label_scenes.py data/scenes_colours/*
#   python $MMPRETRAIN/train.py registry_configs/_openmmlab_/vit_scenes.py
# One CPU core: data 30 s, training 5 minutes, accuracy 78.87 % of 478 pictures (one standard error is 1.9 points).
_base_ = ["mmpretrain::_base_/default_runtime.py"]

colours = ["red", "green", "blue", "yellow", "purple", "cyan", "white", "black", "orange", "pink"]
arch = dict(embed_dims=96, num_layers=6, num_heads=4, feedforward_channels=384)

model = dict(
    type="ImageClassifier",
    backbone=dict(type="VisionTransformer", arch=arch, img_size=64, patch_size=8),
    neck=None,
    head=dict(
        type="VisionTransformerClsHead",
        num_classes=10,
        in_channels=96,
        loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="original"),
    ),
)
data_preprocessor = dict(num_classes=10, mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CustomDataset",
        data_root="data/scenes_colours/train_16000",
        ann_file="colours.txt",
        classes=colours,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CustomDataset",
        data_root="data/scenes_colours/val_1500",
        ann_file="colours.txt",
        classes=colours,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy", topk=1)
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type="CosineAnnealingLR", T_max=10, by_epoch=True, convert_to_iter_based=True)
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=5)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=20))
randomness = dict(seed=0)
