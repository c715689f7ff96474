"""Times models against each other in one process, and measures the cost of re-ranking, shards and other projects."""
