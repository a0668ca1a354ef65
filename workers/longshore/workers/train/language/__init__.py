"""Training of language models: from texts to versions that generate."""
