"""Metrics: how good the predictions for a data set are."""
