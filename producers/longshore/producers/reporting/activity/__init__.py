"""What runs where, and why a job is in its state."""
