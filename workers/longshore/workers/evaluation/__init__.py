"""Measuring a version on data whose targets are known."""
