"""Runtimes execute versions on devices."""
