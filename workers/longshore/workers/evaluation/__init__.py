"""Measures versions on data with known targets."""
