"""Submitting requests of a client, and publishing what was submitted."""
