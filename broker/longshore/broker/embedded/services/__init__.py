"""The servers of an embedded cluster: Redis and Postgres."""
