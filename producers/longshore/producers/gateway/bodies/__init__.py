"""The bodies of requests, and the client's requests that they become."""
