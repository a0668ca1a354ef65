"""The rows of a training: loaded, split, and served as batches."""
