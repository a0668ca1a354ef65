"""Running small shards of several jobs as one batch."""
