"""Whole jobs: submitting them, cancelling and retrying them, chains of jobs, and the trials of a search."""
