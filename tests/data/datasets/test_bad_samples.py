import pickle

import pytest

from bus_toolkit.data.datasets.bad_samples import BadSample, BadSampleCounter, TooManyBadSamples
from bus_toolkit.errors import DataError


def test_counts_and_logs_up_to_the_limit(caplog):
    counter = BadSampleCounter(9, 2, "Photos")
    counter.add(0, BadSample("a.jpg", "broken"))
    counter.add(1, BadSample("b.jpg", "broken"))
    assert counter.count == 2
    assert "Photos: skipped a bad sample (2 of at most 2): b.jpg: broken" in caplog.text
    with pytest.raises(TooManyBadSamples, match="3 bad samples, the limit is 2; the last ones: a.jpg.*; c.jpg"):
        counter.add(2, BadSample("c.jpg", "broken"))


def test_a_sample_that_is_met_again_in_the_next_epoch_counts_once():
    counter = BadSampleCounter(9, 1, "Photos")
    for _ in range(5):
        counter.add(3, BadSample("a.jpg", "broken"))
    assert counter.count == 1


def test_copies_in_workers_share_the_count():
    counter = BadSampleCounter(9, 5, "Photos")
    copy = BadSampleCounter.__new__(BadSampleCounter)
    copy.__dict__.update(counter.__dict__)
    copy.add(4, BadSample("x", "broken"))
    assert counter.count == 1


def test_the_error_of_a_worker_loses_its_traceback():
    message = "Caught TooManyBadSamples in worker 0.\nTraceback ...\nbus_toolkit.TooManyBadSamples: Photos: 3 bad\n"
    assert str(TooManyBadSamples(message)) == "Photos: 3 bad"
    assert isinstance(pickle.loads(pickle.dumps(TooManyBadSamples("Photos: 3 bad"))), DataError)


def test_refuses_a_negative_limit():
    with pytest.raises(DataError, match="Photos.max_bad_samples: must be 0 or more, got -1"):
        BadSampleCounter(9, -1, "Photos")
