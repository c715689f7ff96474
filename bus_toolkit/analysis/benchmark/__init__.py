"""Times models against each other in one process, and measures what re-ranking, shards and other projects cost."""
