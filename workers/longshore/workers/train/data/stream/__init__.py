"""Training on data that is larger than memory: read again in each epoch, and shuffled within a window."""
