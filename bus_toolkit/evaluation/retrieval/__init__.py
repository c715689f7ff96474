"""Retrieval in two stages: rank by features, then re-rank the best pairs by matching."""
