"""Registering, importing and exporting model versions."""
