"""Postgres says what: jobs, shards, results, models, and the only ways they change.

The other modules here are the parts of one :class:`~longshore.shared.ledger.ledger.Ledger`.
"""
