"""What a worker counts for operators: its child writes numbers on the board, and its parent serves them."""
