"""From a row of preferences to two documents: its prompt with the better answer, and with the worse one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from longshore.shared.datasets.prompts import read_messages
from longshore.shared.specs.train.row_layout import is_conversation_text
from longshore.workers.train.language.documents import Document, DocumentReader


@dataclass(frozen=True)
class PairReader:
    """Reads rows of preferences."""

    documents: DocumentReader
    #: Tokens of a block: of each document, all but the last one must fit.
    context: int
    #: Drop the first tokens of a prompt that is too long.
    truncate: bool

    def read(self, prompt: object, chosen: object, rejected: object) -> tuple[Document, Document]:
        """Both documents. Their prompts have the same tokens, and only their answers are learned.

        :raises ValueError: the row is bad, or too long; says why.
        """
        pair = self._document(prompt, chosen, "chosen"), self._document(prompt, rejected, "rejected")
        excess = max(len(each.ids) for each in pair) - 1 - self.context
        if excess <= 0:
            return pair
        if not self.truncate:
            raise ValueError(
                f"its prompt and the longer answer have {excess} tokens more than config.context, {self.context}; give "
                "a larger one, give truncate_prompt=True, shorten it"
            )
        return self._cut(pair[0], excess), self._cut(pair[1], excess)

    def _document(self, prompt: object, answer: object, name: str) -> Document:
        try:
            if isinstance(answer, list) or is_conversation_text(answer):
                if isinstance(prompt, str) and not is_conversation_text(prompt):
                    raise ValueError("it is a list of messages, and the prompt is a text; give both as messages")
                document = self.documents.conversation(read_messages(prompt), read_messages(answer))
            else:
                document = self.documents.completion(prompt, answer)
        except ValueError as error:
            raise ValueError(f"the {name} answer: {error}") from None
        if document.learned is None or not any(document.learned):
            raise ValueError(f"the {name} answer is empty")
        return document

    def _cut(self, document: Document, excess: int) -> Document:
        """Drop the first tokens of the prompt, but not the one that begins every text of the model."""
        ids, learned = list(document.ids), list(document.learned or ())
        begin = self.documents.tokenizer.special("bos_token")
        first = int(begin is not None and ids[0] == begin)
        if first + excess >= max(1, learned.index(True)):
            raise ValueError(
                f"its longer answer alone does not fit config.context, {self.context}; give a larger one, shorten it"
            )
        return replace(
            document, ids=ids[:first] + ids[first + excess :], learned=learned[:first] + learned[first + excess :]
        )
