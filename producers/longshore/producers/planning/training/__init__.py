"""Checks of training requests: rows, target, texts, streaming, and the versions to start from."""
