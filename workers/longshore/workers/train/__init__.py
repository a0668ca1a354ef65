"""Training: from a spec and a table to a module with its signature and metrics."""
