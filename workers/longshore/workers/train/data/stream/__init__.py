"""Training on data larger than memory: it is read in each epoch, and shuffled within a window."""
