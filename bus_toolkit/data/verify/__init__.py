"""Read a data set before a training does, and name everything that is wrong with it."""

from bus_toolkit.data.verify.report import Fault, Report
from bus_toolkit.data.verify.verify_dataset import verify_dataset

__all__ = ["Fault", "Report", "verify_dataset"]
