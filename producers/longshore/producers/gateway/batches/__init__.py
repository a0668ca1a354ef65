"""Batches in the format of OpenAI: a file of requests becomes jobs, and their results become a file of answers."""
