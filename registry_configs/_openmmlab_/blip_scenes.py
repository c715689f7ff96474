# A small BLIP for retrieval in mmpretrain's own words: nothing of this toolkit runs here, it draws the data only.
# Scenes are generated and captions name two objects of each: a synthetic check, which says nothing about photographs.
#
# Commands (MMPRETRAIN is the folder of mmpretrain's tools, which its wheel brings):
#   MMPRETRAIN=$(python -c "import mmpretrain; print(mmpretrain.__path__[0] + '/.mim/tools')")
#   bus-toolkit scenes data/scenes_blip --train 4000 --val 100 --test 0
#   python registry_configs/_openmmlab_/scenes_vocabulary.py data/scenes_blip
#   python $MMPRETRAIN/train.py registry_configs/_openmmlab_/blip_scenes.py
_base_ = ["mmpretrain::_base_/default_runtime.py"]

arch = dict(embed_dims=96, num_layers=6, num_heads=4, feedforward_channels=384)
text_transformer = dict(
    architectures=["BertModel"],
    attention_probs_dropout_prob=0.1,
    hidden_dropout_prob=0.1,
    hidden_act="gelu",
    hidden_size=96,
    initializer_range=0.02,
    intermediate_size=384,
    layer_norm_eps=1e-12,
    max_position_embeddings=64,
    model_type="bert",
    num_attention_heads=4,
    num_hidden_layers=3,
    pad_token_id=0,
    add_type_embeddings=False,
    vocab_size=64,  # the words of the scenes, rounded up
    encoder_width=96,
    add_cross_attention=True,
)

model = dict(
    type="BlipRetrieval",
    tokenizer=dict(type="BlipTokenizer", name_or_path="data/scenes_blip"),
    vision_backbone=dict(type="VisionTransformer", arch=arch, img_size=64, patch_size=8, out_type="raw"),
    text_backbone=dict(type="XBertEncoder", med_config=text_transformer),
    vision_neck=dict(type="Linear", in_features=96, out_features=64),
    text_neck=dict(type="Linear", in_features=96, out_features=64),
    head=dict(type="ITCHead", embed_dim=64, queue_size=128),
    multimodal_head=dict(type="ITMHead", hidden_size=96, with_pooler=False),
    # BLIP's 0.995 is for 100,000s of steps: after 50, the copies that contrast compares with are still 78 % the random
    # start, whose features hardly differ between images, and its loss stays at log(batch + queue).
    momentum=0.9,
    topk=16,
    max_txt_len=24,
)
data_preprocessor = dict(type="MultiModalDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="PackInputs", algorithm_keys=["text", "is_matched"], meta_keys=["image_id"]),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="PackInputs", algorithm_keys=["text", "gt_text_id", "gt_image_id"], meta_keys=["image_id"]),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    drop_last=True,  # the queue must be a multiple of the batch
    dataset=dict(
        type="COCORetrieval",
        data_root="data/scenes_blip/train_4000",
        ann_file="captions_train.json",
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="COCORetrieval",
        data_root="data/scenes_blip/val_100",
        ann_file="captions_val.json",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="RetrievalRecall", topk=(1, 5, 10))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.04),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type="CosineAnnealingLR", T_max=4, by_epoch=True, convert_to_iter_based=True)
train_cfg = dict(by_epoch=True, max_epochs=4, val_interval=4)
val_cfg = dict(type="RetrievalValLoop")
test_cfg = dict(type="RetrievalTestLoop")
default_hooks = dict(logger=dict(interval=20))
custom_hooks = [dict(type="WarmupParamHook", param_name="alpha", module_name="head", warmup_epochs=1)]
randomness = dict(seed=0)
