"""``python tools/benchmark.py``: the same as ``bus-toolkit benchmark``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("benchmark")
