"""``python tools/benchmark_rerank.py``: the same as ``bus-toolkit benchmark-rerank``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("benchmark-rerank")
