"""``python tools/plan_budget.py``: the same as ``bus-toolkit plan-budget``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("plan-budget")
