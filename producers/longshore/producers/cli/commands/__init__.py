"""The commands of ``longshore``, by subject."""
