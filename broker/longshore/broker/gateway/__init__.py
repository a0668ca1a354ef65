"""What the HTTP gateway has in Redis: limits of tokens, and texts while they are written."""
