"""Sessions: one loop keeps an engine full with the rows of many shards, and commits what is done beside it."""
