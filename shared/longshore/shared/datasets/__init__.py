"""Rows from files and from memory, as Arrow batches and float32 matrices."""
