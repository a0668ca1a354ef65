"""Folders as Hugging Face's libraries save them: looked at without those libraries, and without running anything."""
