"""Hyperparameter search and cross-validation: many trainings in one job."""
