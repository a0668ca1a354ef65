"""The ledger in Postgres: jobs, shards, results and models, and the only ways in which they change.

The other modules are the parts of one :class:`~longshore.shared.ledger.ledger.Ledger`. All SQL is in ``statements``.
"""
