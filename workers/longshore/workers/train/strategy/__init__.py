"""Strategies that distribute a training over devices."""
