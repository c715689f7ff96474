"""Metrics: what the predictions of a data set are worth."""
