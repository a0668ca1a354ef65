"""What a text must match, as a grammar: masks of the tokens that may come next, by the library llguidance."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.validation import shorten
from longshore.workers.generate.engines.base import Constraint

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions
    from tokenizers import Tokenizer

#: A JSON document is one line, with one space or none after a comma or a colon. A ``whitespace_pattern`` is no bound:
#: llguidance before 1.8, which vLLM needs, takes it again and again, until the model has no tokens left.
JSON_LAYOUT: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
}
#: Compiled grammars that are kept.
_KEPT_GRAMMARS: Final = 64
#: Tokens for which one item of a mask has a bit.
MASK_BITS: Final = 32


def make_constraint(spec: GenerateSpec) -> Constraint | None:
    """What each text of a job must match; ``None``: nothing."""
    if spec.json_schema is not None:
        return Constraint(json_schema=json.dumps(spec.json_schema))
    if spec.regex is not None:
        return Constraint(regex=spec.regex)
    return Constraint(choices=spec.choices) if spec.choices else None


class TokenMatcher:
    """How far one text has come in its grammar."""

    def __init__(self, matcher: LLMatcher, mask_length: int) -> None:
        self._matcher = matcher
        self._mask_length = mask_length

    def fill_mask(self, mask: npt.NDArray[np.int32]) -> None:
        """Write which tokens may come next: bit ``i % 32`` of item ``i // 32`` is 1 if token ``i`` may. The tokens that
        end a text may come if the text is complete.

        :param mask: contiguous, ``(mask_length,)``; a row of a larger array will do.
        """
        assert mask.dtype == np.int32
        assert mask.shape == (self._mask_length,)
        assert mask.flags["C_CONTIGUOUS"]
        address: int = mask.__array_interface__["data"][0]  # faster than mask.ctypes
        self._matcher.unsafe_compute_mask_ptr(address, mask.nbytes)

    def accept(self, token: int) -> None:
        """Take the token that has come next.

        :raises ValueError: the mask did not allow it, or the grammar has become too complex.
        """
        if not self._matcher.consume_token(token):
            raise ValueError(f"the text does not match what it must: {_reason(self._matcher.get_error())}")

    @property
    def is_complete(self) -> bool:
        """Whether the text matches as it is."""
        return bool(self._matcher.is_accepting())

    @property
    def is_ended(self) -> bool:
        """Whether nothing but a token that ends the text can come."""
        return bool(self._matcher.is_stopped())


class ConstraintCompiler:
    """Compiles what texts must match, for one tokenizer. A constraint that comes again is compiled once.

    :param tokenizer: without padding and truncation.
    :param vocabulary: logits of the network, at least as many as the tokenizer has tokens.
    :param end_tokens: tokens that end a text.
    :raises InvalidInput: this worker has no llguidance, or the library cannot use the tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, end_tokens: Sequence[int]) -> None:
        size = max(vocabulary, tokenizer.get_vocab_size(with_added_tokens=True))
        #: Items of a mask.
        self.mask_length = -(-size // MASK_BITS)
        ends = list(end_tokens) or None
        library = _library()
        try:
            self._tokenizer = library.LLTokenizer(tokenizer.to_str(), n_vocab=size, eos_token=ends)
        except Exception as error:  # of native code
            raise InvalidInput("schema", f"the tokenizer of the version cannot follow a grammar: {error}") from None
        self._matchers: OrderedDict[Constraint, LLMatcher] = OrderedDict()

    def matcher(self, constraint: Constraint) -> TokenMatcher:
        """A matcher for a new text.

        :raises InvalidInput: the constraint cannot be compiled; names its option.
        """
        compiled = self._matchers.pop(constraint, None) or compile_constraint(constraint, self._tokenizer)
        self._matchers[constraint] = compiled
        while len(self._matchers) > _KEPT_GRAMMARS:
            self._matchers.popitem(last=False)
        return TokenMatcher(compiled.deep_copy(), self.mask_length)


def bytes_tokenizer() -> LLTokenizer:
    """A tokenizer whose tokens are the bytes of a text.

    :raises InvalidInput: this worker has no llguidance.
    """
    tokenizer: LLTokenizer = _library().LLTokenizer("byte")
    return tokenizer


def _library() -> ModuleType:
    try:
        import llguidance
    except ImportError as error:
        raise InvalidInput(
            "schema", f"llguidance is not installed on this worker; pip install 'longshore[huggingface]' ({error})"
        ) from error
    return llguidance


def compile_constraint(constraint: Constraint, tokenizer: LLTokenizer) -> LLMatcher:
    """Compile a constraint.

    :raises InvalidInput: it cannot be compiled; names its option.
    """
    from llguidance import LLMatcher, grammar_from

    shown = constraint.json_schema or constraint.regex or json.dumps(constraint.choices)
    try:
        if constraint.json_schema is not None:
            grammar = LLMatcher.grammar_from_json_schema(constraint.json_schema, overrides=JSON_LAYOUT)
        elif constraint.regex is not None:
            grammar = LLMatcher.grammar_from_regex(constraint.regex)
        else:
            grammar = grammar_from("choice", shown)
        matcher = LLMatcher(tokenizer, grammar, log_level=0)
        error: str = matcher.get_error()
    except ValueError as raised:
        error = str(raised)
    if error:
        raise InvalidInput(constraint.option, f"{shorten(shown)} cannot be compiled: {_reason(error)}")
    return matcher


def _reason(message: str) -> str:
    """One line. A parser of regular expressions draws where it stopped, and says why in a line of its own."""
    lines = [line.strip() for line in message.splitlines()]
    stated = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (stated or lines or [""])[0][:300]
