import logging

import pytest

from bus_toolkit.own_log import is_first_process, log_to_screen


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
