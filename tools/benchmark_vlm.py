"""``python tools/benchmark_vlm.py``: the same as ``bus-toolkit benchmark-vlm``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("benchmark-vlm")
