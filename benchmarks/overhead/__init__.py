"""What metrics and logs cost."""
