"""Batch inference: rows in, one JSON value a row out."""
