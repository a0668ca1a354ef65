"""The training loop and its options."""
