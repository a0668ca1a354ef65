"""Benchmarks: each command measures Longshore and an alternative in one run, and prints the ratio."""
