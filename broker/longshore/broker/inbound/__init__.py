"""What comes out of Redis: checked in full before Celery sees any of it.

Whoever can write to Redis can write anything, and Celery and kombu stop a worker when a message cannot be decoded. So a
message is parsed here, and what is passed on is built anew from the few values that a ticket or a question has.
Everything else is dropped and counted: the shards are in the ledger, and the relay publishes what is missing.
"""
