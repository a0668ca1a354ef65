"""Database roles with the least rights that each kind of process needs, and row-level security by producer."""
