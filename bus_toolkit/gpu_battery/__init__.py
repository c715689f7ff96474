"""Whether a card computes what the CPU does, and how fast: the measurements that need a GPU, as one command."""
