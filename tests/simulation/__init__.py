"""A simulation of a cluster: the real ledger, relay and publishing code on a real Postgres; all else is seeded.

Time is virtual, Redis is simulated, and the actors (producers, workers, relays) take turns in an order that a seed
decides. At each fault point an actor can be ended, delayed or cut off from Postgres.
"""
