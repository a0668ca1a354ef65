"""The logs of attempts, as a worker's child writes them."""
