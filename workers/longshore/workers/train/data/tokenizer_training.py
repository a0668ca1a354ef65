"""Trains tokenizers. The same texts in the same order give the same tokenizer, byte for byte.

https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longshore.shared.specs.tokenizer import Tokenizer
from longshore.workers.runtimes.text_family import missing

if TYPE_CHECKING:
    import tokenizers

#: Entries that no text produces: padding, with id 0, and unknown words.
PAD, UNKNOWN = "[PAD]", "[UNK]"
#: Most frequent characters that word pieces are made of, at most.
_ALPHABET = 1000
#: Prefix of a word piece that does not begin its word.
_INNER = "##"


def train_tokenizer(options: Tokenizer, texts: Sequence[str]) -> str:
    """Train a tokenizer on texts. Returns the content of ``tokenizer.json``.

    :raises InvalidInput: tokenizers is not installed on this worker.
    """
    try:
        import tokenizers  # noqa: F401
    except ImportError as error:
        raise missing("tokenizer", error) from error
    made = {"words": _words, "wordpiece": _word_pieces, "bpe": _bytes}[options.kind](options, texts)
    content = json.loads(made.to_str())
    # Otherwise a text "[PAD]" would count as padding.
    content["added_tokens"] = []
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _words(options: Tokenizer, texts: Sequence[str]) -> tokenizers.Tokenizer:
    from tokenizers import models, trainers

    made = _split_at_words(models.WordLevel(unk_token=UNKNOWN), options)
    trainer = trainers.WordLevelTrainer(
        vocab_size=options.vocabulary,
        min_frequency=options.min_frequency,
        show_progress=False,
        special_tokens=[PAD, UNKNOWN],
    )
    made.train_from_iterator(texts, trainer)
    return made


def _word_pieces(options: Tokenizer, texts: Sequence[str]) -> tokenizers.Tokenizer:
    from tokenizers import models, trainers

    made = _split_at_words(models.WordPiece(unk_token=UNKNOWN), options)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(made.normalizer.normalize_str(text))
    known = sorted((each for each in counts if not each.isspace()), key=lambda each: (-counts[each], each))
    alphabet = sorted(known[: min(_ALPHABET, (options.vocabulary - 2) // 2)])
    trainer = trainers.WordPieceTrainer(
        vocab_size=options.vocabulary,
        min_frequency=options.min_frequency,
        show_progress=False,
        # List them, because the trainer numbers characters that it finds itself in a different order in each run.
        special_tokens=[PAD, UNKNOWN, *alphabet, *(_INNER + each for each in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=_INNER,
    )
    made.train_from_iterator(texts, trainer)
    return made


def _bytes(options: Tokenizer, texts: Sequence[str]) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer as Made
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    made = Made(models.BPE())
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), *([normalizers.Lowercase()] if options.lowercase else [])]
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary,
        min_frequency=options.min_frequency,
        show_progress=False,
        special_tokens=[PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    made.train_from_iterator(texts, trainer)
    return made


def _split_at_words(
    model: tokenizers.models.WordLevel | tokenizers.models.WordPiece, options: Tokenizer
) -> tokenizers.Tokenizer:
    """Split at spaces, and around each punctuation mark and Chinese character; keep accents."""
    from tokenizers import Tokenizer as Made
    from tokenizers import normalizers, pre_tokenizers

    made = Made(model)
    made.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=options.lowercase
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made
