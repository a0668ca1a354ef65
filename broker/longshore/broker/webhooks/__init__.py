"""Sending events to the endpoints of producers, as Standard Webhooks 1.0 says."""
