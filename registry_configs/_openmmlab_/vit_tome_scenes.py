# ToMe on the trained plain transformer, without training: the checkpoint of vit_scenes.py is tested as it is.
#
# Commands (MMPRETRAIN: see vit_scenes.py):
#   python $MMPRETRAIN/test.py registry_configs/_openmmlab_/vit_tome_scenes.py work_dirs/vit_scenes/epoch_10.pth
#   ... --cfg-options model.backbone.selectors.0.num_merged=10
# Accuracy 78.87 % (plain: 78.87) at 34.8 instead of 49.2 MMACs; 79.08 % at 25.8 with num_merged=10.
_base_ = ["./vit_scenes.py"]

custom_imports = dict(imports=["bus_toolkit.openmmlab"], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type="bus_toolkit.TokenReducedViT",
        vit=dict(type="VisionTransformer", arch={{_base_.arch}}, img_size=64, patch_size=8),
        # 64 patches, 6 of them merged away in each of the 6 blocks: 28 are left.
        selectors=[dict(type="ToMe", blocks=[1, 2, 3, 4, 5, 6], num_merged=6)],
        out_type="cls_token",
    )
)
