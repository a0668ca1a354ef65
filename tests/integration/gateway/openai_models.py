"""The models that tests call by OpenAI's packages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from longshore.producers import Client
from tests.language_models import save_language_model, save_model_that_says
from tests.text_models import save_sentence

#: What `tools` answers.
CALL: Final = '<tool_call>{"name": "clock", "arguments": {"zone": "CET"}}</tool_call>'
CHAT, TOOLS, ENCODER = "chat@production", "tools", "team/encoder:1"


def import_models(client: Client, folder: Path) -> None:
    """Import a language model, one that calls a tool, and one that embeds texts."""
    save_language_model(folder / "chat")
    client.models.import_(folder / "chat", "chat", alias="production")
    save_model_that_says(folder / "tools", CALL)
    client.models.import_(folder / "tools", TOOLS)
    save_sentence(folder / "encoder")
    client.models.import_(folder / "encoder", "team/encoder")
