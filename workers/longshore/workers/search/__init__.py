"""Searching for the best training, and measuring how well one does: many trainings in one job."""
