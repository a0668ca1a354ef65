"""The statements about what attempts of shards leave for later ones."""

from longshore.shared.ledger.statements.shards import checkpoints, logs, partial_texts

__all__ = ["checkpoints", "logs", "partial_texts"]
