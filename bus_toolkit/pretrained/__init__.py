"""Trained models as folders that are shared: written from a run, checked, loaded in one line, put on a hub."""
