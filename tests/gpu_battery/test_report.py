"""The two lines of the battery, its table and its verdict, of figures by hand."""

from bus_toolkit.gpu_battery.agreement import Agreement
from bus_toolkit.gpu_battery.report import Report, table
from bus_toolkit.gpu_battery.speed import Speed

GOOD = [
    Agreement("selectors TSPS", "float32", 2e-4, ""),
    Agreement("selectors TSPS", "bfloat16", 0.03, ""),
    Agreement("selectors Random", "float32", None, ""),
]
FAST = [
    Speed("unpruned", 256, 64, False, 100.0, 2000.0),
    Speed("BUS", 256, 64, False, 150.0, 1400.0),
    Speed("unpruned", 256, 64, True, 120.0, 1800.0),
    Speed("BUS", 256, 64, True, 168.0, 1350.0),
]


def test_a_good_card_is_said_to_be_one():
    report = Report({}, GOOD, FAST)
    assert report.is_good
    assert report.verdict() == (
        "Parts: 3 of 3 agree with the CPU; largest difference 0.0002 in float32; largest difference 0.03 in bfloat16; "
        "no step waits for the device.",
        "Speed: BUS trains 1.50x at 256 px (memory 0.70x), 1.40x at 256 px compiled (memory 0.75x) beside its unpruned "
        "model.",
    )


def test_faults_are_named():
    wrong = Agreement("fusion PuMer", "float32", 0.5, "", "a loss differs by 0.5 (limit 0.01)")
    waiting = Agreement("decoder PAD", "float32", 0.0, "pad.py:7")
    report = Report({}, [*GOOD, wrong, waiting], [FAST[0], Speed("BUS", 256, 64, problem="out of memory at batch 64")])
    assert not report.is_good
    parts, speed = report.verdict()
    assert "4 of 5 agree" in parts and "decoder PAD waits for the device (pad.py:7), 1 in all" in parts
    assert parts.endswith("first fault: fusion PuMer, float32: a loss differs by 0.5 (limit 0.01).")
    assert speed.endswith("1 without a figure, the first BUS at 256 px: out of memory at batch 64.")


def test_the_table_compares_with_the_unpruned_model_of_its_kind():
    rows = table([*FAST, Speed("ELIP", 384, 32, problem="no time was left")])
    assert rows[2] == ["256", "BUS", "64", "150.0", "1.50", "1400"]
    assert rows[4] == ["256", "BUS, compiled", "64", "168.0", "1.40", "1350"]
    assert rows[5] == ["384", "ELIP", "32", "no time was left", "", ""]


def test_what_waits_nowhere_is_not_what_is_not_known():
    of_cpu = Report({}, [Agreement("selectors TSPS", "float32", 0.0, None)], FAST)
    assert "waits" not in of_cpu.verdict()[0]
