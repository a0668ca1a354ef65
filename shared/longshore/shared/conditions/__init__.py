"""Conditions on metrics, such as ``val_accuracy >= 0.97 and val_accuracy >= production``; parsed, never executed."""
