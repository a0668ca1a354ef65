"""Output files: their names and formats."""
