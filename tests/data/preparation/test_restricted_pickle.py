import collections
import pickle

import pytest

from bus_toolkit.data.preparation.restricted_pickle import read_plain_pickle
from bus_toolkit.errors import DataError

PLAIN = [{"id": 1, "box": (1.5, None), "sent": "ein Kätzchen 🐱", "tokens": ["a"], "flag": True, "set": {1}}, [[]]]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol_is_read(tmp_path, protocol):
    plain = PLAIN if protocol >= 4 else [{k: v for k, v in PLAIN[0].items() if k != "set"}, [[]]]
    (tmp_path / "a.p").write_bytes(pickle.dumps(plain, protocol))
    assert read_plain_pickle(tmp_path / "a.p") == plain


def test_text_that_python_2_wrote_is_read(tmp_path):
    # pickle.dumps({'sent': 'caf\xe9', u'left': u'\u00e9'}, 0) of Python 2.
    (tmp_path / "a.p").write_bytes(b"(dp0\nS'sent'\np1\nS'caf\\xe9'\np2\nsVleft\np3\nV\\u00e9\np4\ns.")
    assert read_plain_pickle(tmp_path / "a.p") == {"sent": "café", "left": "é"}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_nothing_runs(tmp_path):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "a.p").write_bytes(pickle.dumps([Evil(str(tmp_path / "made"))], protocol))
        with pytest.raises(DataError, match=r"is not read: it asks for \w+.open, and only plain data is allowed"):
            read_plain_pickle(tmp_path / "a.p")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "value, report",
    [
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        ([b"bytes"], "holds a bytes"),
        ({"a": (1, [bytearray(b"x")])}, "asks for builtins.bytearray|holds a bytearray"),
        ([1j], "builtins.complex"),
        (len, "builtins.len"),
    ],
)
def test_anything_but_plain_data_is_refused(tmp_path, value, report):
    (tmp_path / "a.p").write_bytes(pickle.dumps(value, 4))
    with pytest.raises(DataError, match=report):
        read_plain_pickle(tmp_path / "a.p")


def test_a_container_that_holds_itself_ends(tmp_path):
    loop = []
    loop.append(loop)
    (tmp_path / "a.p").write_bytes(pickle.dumps(loop))
    assert read_plain_pickle(tmp_path / "a.p")[0]


def test_damaged_and_missing_files_are_reported(tmp_path):
    (tmp_path / "a.p").write_bytes(pickle.dumps(PLAIN)[:-20])
    with pytest.raises(DataError, match="a.p: is (damaged or no pickle|not read)"):
        read_plain_pickle(tmp_path / "a.p")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_plain_pickle(tmp_path / "b.p")
