"""What texts have that an engine computes: begun by another request, and up to a stop text."""
