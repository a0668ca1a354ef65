"""The definitions of metrics. Training, search and evaluation compute them here, so that they agree."""
