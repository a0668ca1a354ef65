"""Losses, metrics and evaluation during training."""
