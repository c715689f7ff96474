"""What holds for every family: each check measures one thing; the tests and the table run the same ones."""

from tests.huggingface.contract import choice, dropping, keeping_all, kernels, rows, training
from tests.huggingface.contract.check import Check

ANSWERS: list[Check] = [*keeping_all.CHECKS, *dropping.CHECKS, *rows.CHECKS]
MORE: list[Check] = [*training.CHECKS, *choice.CHECKS, *kernels.CHECKS]
CHECKS = ANSWERS + MORE
