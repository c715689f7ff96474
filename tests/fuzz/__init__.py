"""Hostile input for all that reads files: random, but the same for the same seed.

``python -m tests.fuzz --cases 10000 --target tar`` runs a target for long, ``test_fuzz.py`` all of them for seconds.
"""
