"""What the HTTP gateway keeps."""

from __future__ import annotations

from longshore.shared.ledger.statements.gateway import batches, files, kept_answers, tokens, uploads, webhooks

__all__ = ["batches", "files", "kept_answers", "tokens", "uploads", "webhooks"]
