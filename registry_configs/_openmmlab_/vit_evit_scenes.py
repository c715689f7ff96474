# EViT trained on from the plain transformer's weights; the share of patches kept falls while it trains.
#
# Command (MMPRETRAIN and the weights: see vit_scenes.py):
#   python $MMPRETRAIN/train.py registry_configs/_openmmlab_/vit_evit_scenes.py
# One CPU core: 2.5 minutes, accuracy 82.64 % at 26.1 instead of 49.2 MMACs; without this training EViT reaches 78.24 %.
# The plain one trained on as long (model.backbone.selectors.0.keep_ratio.end=1.0): 84.73 %.
_base_ = ["./vit_tome_scenes.py"]

model = dict(
    backbone=dict(
        selectors=[dict(type="EViT", blocks=[2, 4], keep_ratio=dict(start=1.0, end=0.5, epochs=2, shape="cosine"))],
        # The keys of a plain checkpoint are read as they are.
        init_cfg=dict(type="Pretrained", checkpoint="work_dirs/vit_scenes/epoch_10.pth", prefix="backbone."),
    )
)
custom_hooks = [dict(type="bus_toolkit.KeepRatioScheduleHook")]
train_cfg = dict(max_epochs=8, val_interval=2)
optim_wrapper = dict(
    constructor="LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.9),
)
param_scheduler = dict(T_max=8)
