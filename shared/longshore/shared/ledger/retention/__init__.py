"""Old results: the partitions that hold them, and their removal."""
