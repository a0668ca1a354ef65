"""Commands of a production cluster: its processes, and who may do what with it."""
