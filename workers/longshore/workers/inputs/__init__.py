"""Reads the rows of a shard."""
