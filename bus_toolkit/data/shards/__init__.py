"""Tar shards in webdataset's format: indexed, read by random access, shuffled, written, checked."""
