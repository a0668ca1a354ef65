"""Connections to Postgres: how they are opened, kept, watched and given up, and what their errors mean."""
