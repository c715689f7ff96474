"""``python tools/gpu_battery.py``: the same as ``bus-toolkit gpu-battery``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("gpu-battery")
