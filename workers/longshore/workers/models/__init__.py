"""Loaded models and their batch sizes."""
