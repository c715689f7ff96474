# ELIP in mmpretrain's BLIP, as in ELIP's own: one pass for each image under its caption, everything kept without text.
#
# Command (MMPRETRAIN and the data: see blip_scenes.py):
#   python $MMPRETRAIN/train.py registry_configs/_openmmlab_/blip_elip_scenes.py
_base_ = ["./blip_scenes.py"]

custom_imports = dict(imports=["bus_toolkit.openmmlab"], allow_failed_imports=False)

model = dict(
    type="bus_toolkit.TextAwareBlipRetrieval",
    # ELIP's places in 12 blocks, halved.
    selectors=[dict(type="ELIP", blocks=[2, 3, 6], look_ahead=[1, 3, 1], keep_ratio=[0.9, 0.65, 0.4])],
    conditioning="shared",
    without_text="none",
)
