"""Public packages beside ours on generated inputs, with one command: ``make parity`` writes tools/PARITY.md.

Tests compare with a peer where it is a dependency; this compares with all of them, also those that the toolkit never
imports, in a virtual environment of its own. Each file of ``cases/`` lists comparisons of one kind.
"""
