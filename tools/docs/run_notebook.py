"""Run ``tools/docs/tour.ipynb`` from its first cell to its last, with this Python, and write its outputs into it.

``python tools/docs/run_notebook.py`` after a change; it needs the extra ``notebook`` and takes about two minutes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).with_name("tour.ipynb")
ROOT = Path(__file__).resolve().parents[2]


class ThisPython(KernelSpecManager):
    """Gives this interpreter for every kernel: one that a user has registered under its name may be another."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return how to start it."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python", name=kernel_name)


def run(notebook: NotebookNode, folder: Path, timeout: int = 1200, **environ: str) -> NotebookNode:
    """Run all cells in ``folder`` and return the notebook, without times and names of this machine.

    Args:
        notebook: It is changed.
        folder: Where the kernel starts.
        timeout: Of a cell, in seconds.
        **environ: More variables of the kernel's environment.

    Raises:
        CellExecutionError: A cell failed.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    manager = AsyncKernelManager(kernel_spec_manager=ThisPython())
    client = NotebookClient(
        notebook, km=manager, timeout=timeout, record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": path, **environ})
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


if __name__ == "__main__":
    done = run(nbformat.read(NOTEBOOK, as_version=4), ROOT)
    NOTEBOOK.write_text(nbformat.writes(done) + "\n", encoding="utf-8")
