"""Families: named, configurable networks that a worker can build from a configuration and a row's width."""
