"""Checking requests for language models."""
