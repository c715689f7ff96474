import json

from matplotlib.image import imread

from bus_toolkit.visualization.curves import draw_curves, read_scalars, smooth


def _write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_losses_and_metrics_share_the_iterations_of_the_training(tmp_path):
    # The step of a validation counts epochs.
    records = [
        {"loss": 3.0, "loss_itc": 2.0, "lr": 0.1, "iter": 10, "step": 10},
        {"loss": 2.0, "loss_itc": 1.0, "lr": 0.1, "iter": 20, "step": 20},
        {"itm/accuracy": 0.5, "time": 0.1, "step": 1},
        {"loss": float("nan"), "iter": 30, "step": 30},
    ]
    losses, metrics = read_scalars([_write(tmp_path / "scalars.json", records)])
    assert losses == {"loss": [(10, 3.0), (20, 2.0)], "loss_itc": [(10, 2.0), (20, 1.0)]}
    assert metrics == {"itm/accuracy": [(20, 0.5)]}


def test_a_resumed_training_replaces_what_it_repeats(tmp_path):
    first = _write(tmp_path / "a.json", [{"loss": 3.0, "iter": 1}, {"loss": 9.0, "iter": 2}, {"loss": 9.0, "iter": 3}])
    second = _write(tmp_path / "b.json", [{"loss": 2.0, "iter": 2}])
    assert read_scalars([first, second])[0] == {"loss": [(1, 3.0), (2, 2.0)]}


def test_a_term_that_the_resumed_part_replaces_entirely_has_no_curve(tmp_path):
    first = _write(tmp_path / "a.json", [{"loss": 3.0, "loss_itc": 1.0, "iter": 2}])
    second = _write(tmp_path / "b.json", [{"lr": 0.1, "iter": 1}])
    assert read_scalars([first, second]) == ({}, {})
    assert draw_curves([first, second], tmp_path / "curves.png") is None


def test_nothing_logged_draws_nothing(tmp_path):
    assert draw_curves([tmp_path / "missing.json"], tmp_path / "curves.png") is None
    assert not (tmp_path / "curves.png").exists()


def test_curves_are_drawn_for_one_point_and_for_many(tmp_path):
    records = [{"loss": 1.0 / (1 + i), "loss_itm": 0.7, "iter": i} for i in range(50)]
    records += [{"retrieval/i2t_R@1": 0.3, "retrieval/rerank_t2i_R@1": 0.4, "retrieval/num_images": 200.0, "step": 1}]
    path = draw_curves([_write(tmp_path / "scalars.json", records)], tmp_path / "curves.png")
    assert imread(path).shape[1] > 800


def test_the_running_mean_starts_at_the_first_value_and_keeps_a_constant():
    assert smooth([4.0, 4.0, 4.0]) == [4.0, 4.0, 4.0]
    long = smooth([float(i) for i in range(300)])
    assert long[0] == 0.0
    # A mean over about ten values lags a rising line by about ten.
    assert 285 < long[-1] < 295
