"""Reading the rows of a shard."""
