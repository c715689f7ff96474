"""Data sets: records and images to the samples of a training."""
