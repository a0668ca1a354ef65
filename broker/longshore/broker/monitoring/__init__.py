"""Metrics and health checks over HTTP, for Prometheus and for what restarts processes."""
