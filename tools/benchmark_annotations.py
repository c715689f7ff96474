"""``python tools/benchmark_annotations.py``: the same as ``bus-toolkit benchmark-annotations``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("benchmark-annotations")
