"""Texts of jobs and of engines alone, on one model and the same prompts."""
