"""Programs of ``torch.export``, read without PyTorch and without running or unpickling anything of them."""
