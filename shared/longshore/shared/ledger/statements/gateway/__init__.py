"""What the HTTP gateway keeps."""

from __future__ import annotations

from longshore.shared.ledger.statements.gateway import tokens, webhooks

__all__ = ["tokens", "webhooks"]
