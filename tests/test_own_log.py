import logging

import pytest

from bus_toolkit.own_log import each_line_once, is_first_process, log_to_screen


@pytest.fixture
def logger():
    """Our logger without handlers, and as it was afterwards."""
    own = logging.getLogger("bus_toolkit")
    kept, level = own.handlers, own.level
    own.handlers = []
    yield own
    own.handlers = kept
    own.setLevel(level)


def test_a_message_is_one_line_with_its_level_and_is_shown_once(logger, capsys):
    log_to_screen()
    log_to_screen()
    logging.getLogger("bus_toolkit.config").warning("a key is dropped")
    assert capsys.readouterr().err == "WARNING a key is dropped\n"


@pytest.mark.parametrize("rank", ["RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"])
def test_other_processes_show_errors_only(logger, capsys, monkeypatch, rank):
    monkeypatch.setenv(rank, "1")
    log_to_screen()
    logger.warning("a key is dropped")
    logger.error("a fault")
    assert not is_first_process() and capsys.readouterr().err == "ERROR a fault\n"


def test_a_line_that_comes_again_is_shown_once_in_the_block(logger, capsys):
    log_to_screen()
    with each_line_once():
        for selector in ("Random", "Random", "EViT"):
            logger.warning("%s has no scores", selector)
    logger.warning("Random has no scores")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"WARNING {name} has no scores" for name in ("Random", "EViT", "Random")]
