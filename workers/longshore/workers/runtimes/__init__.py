"""Runtimes: what executes a version on a device."""
