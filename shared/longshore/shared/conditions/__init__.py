"""Conditions on metrics, as in ``val_accuracy >= 0.97 and val_accuracy >= production``. Nothing of them is executed."""
