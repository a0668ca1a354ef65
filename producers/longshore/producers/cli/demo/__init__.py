"""``longshore demo``."""
