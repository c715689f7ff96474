"""The order of samples, and which of them share a batch."""
