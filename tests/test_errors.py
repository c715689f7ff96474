"""Errors hold problems, which become text when they are shown."""

import pickle

from bus_toolkit.errors import BusError, ConfigError, DataError, Problem, ProblemKind


def test_a_problem_is_rendered_with_its_path() -> None:
    assert str(Problem("model.decoder", "must be a mapping.")) == "model.decoder: must be a mapping."
    assert str(Problem("", "data/a.json: cannot be read.")) == "data/a.json: cannot be read."


def test_an_error_takes_one_text_one_problem_or_many() -> None:
    problem = Problem("a.type", "no part named 'x'.", ProblemKind.UNKNOWN_TYPE)
    assert DataError("file: bad.").problems == [Problem("", "file: bad.")]
    assert ConfigError(problem).problems == [problem]
    both = ConfigError([problem, "b: wrong."])
    assert str(both) == "a.type: no part named 'x'.\nb: wrong."
    assert [one.kind for one in both.problems] == [ProblemKind.UNKNOWN_TYPE, ProblemKind.OTHER]


def test_more_than_three_problems_of_one_text_are_one_line() -> None:
    alike = [Problem(f"loader.{number}", "wrong.") for number in range(5)]
    assert str(ConfigError([*alike[:4], "b: c."])) == "loader.0 (and 3 other places): wrong.\nb: c."
    assert str(ConfigError(alike[:3])).count("wrong.") == 3 and len(ConfigError(alike).problems) == 5


def test_a_problem_knows_the_nodes_that_it_is_within() -> None:
    problem = Problem("model.heads.itc", "wrong.")
    assert problem.is_within("model") and problem.is_within("model.heads.itc")
    assert not problem.is_within("model.heads.it") and not problem.is_within("model_wrapper_cfg")


def test_an_error_survives_the_way_from_a_worker_process() -> None:
    assert str(pickle.loads(pickle.dumps(BusError(["a: b.", "c: d."])))) == "a: b.\nc: d."
