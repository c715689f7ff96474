"""``python tools/benchmark_blip.py``: the same as ``bus-toolkit benchmark-blip``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("benchmark-blip")
