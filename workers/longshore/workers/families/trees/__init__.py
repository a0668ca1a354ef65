"""Families of trees: LightGBM."""
