# BUS's selector in mmpretrain's BLIP: the text of each pair selects half of the patches after the third block.
#
# Command (MMPRETRAIN and the data: see blip_scenes.py):
#   python $MMPRETRAIN/train.py registry_configs/_openmmlab_/blip_tsps_scenes.py
_base_ = ["./blip_scenes.py"]

custom_imports = dict(imports=["bus_toolkit.openmmlab"], allow_failed_imports=False)

model = dict(
    type="bus_toolkit.TextAwareBlipRetrieval",
    selectors=[dict(type="TSPS", blocks=[3], keep_ratio=0.5)],
)
