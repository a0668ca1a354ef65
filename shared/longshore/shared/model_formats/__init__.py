"""Model files of other programs: read, checked and written."""
