import logging

from bus_toolkit.config import load_config


def test_a_new_type_keeps_shared_arguments_and_names_the_dropped_ones(write, caplog):
    with caplog.at_level(logging.INFO, "bus_toolkit"):
        cfg = load_config(write("_base_: base.yaml\nmodel: {decoder: {type: Identity}}"))
    assert cfg.model.decoder == {"type": "Identity"}
    assert "model.decoder: Identity replaces PAD and does not take num_layers, num_queries: dropped." in caplog.text


def test_the_same_type_keeps_everything(write):
    cfg = load_config(write("_base_: base.yaml\nmodel: {decoder: {type: PAD, num_layers: 5}}"))
    assert cfg.model.decoder == {"type": "PAD", "num_layers": 5, "num_queries": 4}


def test_a_swap_works_where_mmengine_builds_too(write):
    cfg = load_config(write("_base_: base.yaml\noptim_wrapper: {optimizer: {type: SGD, momentum: 0.9}}"))
    assert cfg.optim_wrapper.optimizer == {"type": "SGD", "lr": 1e-3, "momentum": 0.9}
    cfg = load_config(write("_base_: base.yaml\ntrain_cfg: {type: IterBasedTrainLoop, max_iters: 5}"))
    assert cfg.train_cfg == {"type": "IterBasedTrainLoop", "max_iters": 5}


def test_delete_replaces_the_whole_mapping(write):
    cfg = load_config(write("_base_: base.yaml\nmodel: {decoder: {_delete_: true, type: PAD}}"))
    assert cfg.model.decoder == {"type": "PAD"}


def test_a_list_is_replaced_as_a_whole(write):
    cfg = load_config(write("_base_: base.yaml\nmodel: {selectors: []}"))
    assert cfg.model.selectors == []


def test_shared_anchors_do_not_tie_two_nodes(write):
    text = "_base_: base.yaml\nmodel: {selectors: [&s {type: Random, blocks: [1]}, *s]}"
    cfg = load_config(write(text), ["model.selectors.1.blocks=[2]"])
    assert [s.blocks for s in cfg.model.selectors] == [[1], [2]]
