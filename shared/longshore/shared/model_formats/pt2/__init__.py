"""Reads programs of ``torch.export`` without PyTorch, and without running or unpickling anything."""
