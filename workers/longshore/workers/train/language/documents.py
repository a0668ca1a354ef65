"""From a row to the tokens of a document, and which of them are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longshore.shared.datasets.prompts import Message, read_messages
from longshore.shared.specs.train.row_layout import ASSISTANT, RowLayout, is_conversation_text
from longshore.shared.specs.validation import shorten
from longshore.workers.train.language.tokenizer import LanguageTokenizer, tokens_of


@dataclass(frozen=True)
class Document:
    """The tokens of a row."""

    ids: Sequence[int]
    #: Whether each token is learned; ``None``: all are. The first one never is, as nothing comes before it.
    learned: Sequence[bool] | None = None
    #: Answers that are empty: only their ends are learned.
    empty: int = 0
    #: Whether it was a conversation whose last messages are left out, because no answer follows them.
    unanswered: bool = False


@dataclass(frozen=True)
class DocumentReader:
    """Reads rows of one layout. A document is tokenized as the engine tokenizes the prompts of a generation."""

    tokenizer: LanguageTokenizer
    layout: RowLayout

    def texts(self, values: Sequence[str]) -> list[Document | str]:
        """Documents of whole texts, which end with the token for it; or why a text has none."""
        encoded = self.tokenizer.encode(values)
        return [each if isinstance(each, str) else Document(self._ended(list(each))) for each in encoded]

    def completion(self, prompt: object, completion: object) -> Document:
        """The document of a prompt, a text or a list of messages, and of what answers it. Only the answer is learned.

        :raises ValueError: the row is bad; says why.
        """
        if not isinstance(completion, str):
            raise ValueError(f"the completion {shorten(completion)} is no text")
        if isinstance(prompt, list) or is_conversation_text(prompt):
            return self.conversation(read_messages(prompt), ({"role": ASSISTANT, "content": completion},))
        if not isinstance(prompt, str):
            raise ValueError(f"the prompt {shorten(prompt)} is no text")
        if not prompt:
            raise ValueError("the prompt is empty")
        ids, joint = map(tokens_of, self.tokenizer.encode([prompt, prompt + completion]))
        whole = self._extended(ids, joint, completion)
        ended = self._ended(whole)
        learned = [False] * len(ids) + [True] * (len(ended) - len(ids))
        return Document(ended, learned, empty=int(not completion.strip()))

    def conversation(self, prompt: Sequence[Message], answer: Sequence[Message]) -> Document:
        """The document of a prompt and of the messages that follow; of these, those of the assistant are learned.

        :raises ValueError: the row is bad; says why.
        """
        return self._conversation([*prompt, *answer], len(prompt))

    def messages(self, value: object) -> Document:
        """The document of a conversation. Every message of the assistant is learned.

        :raises ValueError: the row is bad; says why.
        """
        return self._conversation(list(read_messages(value)), 0)

    def _conversation(self, messages: list[Message], first: int) -> Document:
        """:param first: messages before this one are not learned."""
        answers = [
            number for number, each in enumerate(messages) if each["role"] == ASSISTANT and number >= max(first, 1)
        ]
        if not answers:
            raise ValueError(f"no message of the role {ASSISTANT} follows another one, so that there is none to learn")
        ids: list[int] = []
        learned: list[bool] = []
        text = ""
        for number in answers:
            before = self.tokenizer.render(messages[:number], answer=True)
            after = self.tokenizer.render(messages[: number + 1], answer=False)
            for whole, learn in ((before, False), (after, True)):
                if not whole.startswith(text):
                    raise ValueError(
                        f"the chat template writes the messages before message {number} otherwise once it follows, so "
                        "that its tokens cannot be told apart; give one row for each answer"
                    )
                joint = self.tokenizer.encode_plain(whole)
                extended = self._extended(ids, joint, whole[len(text) :])
                learned += [learn] * (len(extended) - len(ids)) if not learn else self._until_end(extended[len(ids) :])
                ids, text = extended, whole
        if True not in learned:
            raise ValueError("the chat template writes nothing for the answers, so that there is none to learn")
        # What follows the last answer is not learned, and needs no room.
        kept = len(learned) - learned[::-1].index(True)
        ended = self._ended(ids[:kept])
        empty = sum(_is_empty(messages[number]) for number in answers)
        return Document(ended, learned[:kept] + [True] * (len(ended) - kept), empty, answers[-1] + 1 < len(messages))

    def _extended(self, ids: list[int], joint: list[int], text: str) -> list[int]:
        """``ids`` and those of the text that follows: of both together, if the first do not change by it."""
        if joint[: len(ids)] == ids:
            return joint
        return [*ids, *self.tokenizer.encode_plain(text)]

    def _until_end(self, ids: Sequence[int]) -> list[bool]:
        """Learn an answer as far as the token that ends it: a generation stops there."""
        ends = [number for number, token in enumerate(ids) if token in self.tokenizer.ends]
        length = ends[-1] + 1 if ends else len(ids)
        return [number < length for number in range(len(ids))]

    def _ended(self, ids: list[int]) -> list[int]:
        end = self.tokenizer.end
        return ids if end is None or (ids and ids[-1] in self.tokenizer.ends) else [*ids, end]


def _is_empty(message: Message) -> bool:
    return not str(message.get("content") or "").strip() and not message.get("tool_calls")
