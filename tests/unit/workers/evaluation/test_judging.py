"""What a judge is shown."""

from __future__ import annotations

from longshore.shared.datasets.prompts import PromptRow, read_messages
from longshore.workers.evaluation.judging import request_text

MESSAGES = read_messages([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])


def test_a_judge_sees_the_system_message_that_the_versions_have_seen() -> None:
    assert request_text(PromptRow(prompt="Hi"), None) == "Hi"
    assert request_text(PromptRow(prompt="Hi"), "Be brief.") == "Be brief.\nHi"
    assert request_text(PromptRow(prompt="Hi", options={"system": "In French."}), "Be brief.") == "In French.\nHi"
    assert request_text(PromptRow(messages=MESSAGES), None) == "user: Hi\nassistant: Hello"
    assert request_text(PromptRow(messages=MESSAGES), "Be brief.") == "system: Be brief.\nuser: Hi\nassistant: Hello"
