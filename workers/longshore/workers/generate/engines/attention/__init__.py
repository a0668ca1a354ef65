"""Attention over the pages of a cache, of texts that share beginnings."""
