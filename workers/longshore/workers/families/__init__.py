"""Families: named networks that a worker builds from a configuration and the width of a row."""
