"""The users of Redis with the least rights."""
