"""The processes of a worker: supervisor, parent and child."""
