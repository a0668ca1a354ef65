"""Inspects folders that Hugging Face's libraries saved, without those libraries and without running anything."""
