"""Attempts at shards: claims, leases, what an attempt writes, and the fence that only the current attempt passes."""
