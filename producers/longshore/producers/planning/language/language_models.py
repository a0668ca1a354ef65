"""What a request for texts is compared with: how many tokens a version takes, and whether it answers messages and knows
tools.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue

from longshore.shared.errors import CorruptBlob, InvalidInput, ServiceUnavailable
from longshore.shared.ledger.records import VersionRecord
from longshore.shared.model_formats.huggingface.architectures import ARCHITECTURES
from longshore.shared.model_formats.huggingface.chat_templates import (
    ChatTemplates,
    is_template_file,
    read_chat_templates,
)
from longshore.shared.model_formats.huggingface.language import base_key
from longshore.shared.model_formats.huggingface.language_sizes import read_positions
from longshore.shared.model_formats.huggingface.model import TOKENIZER_CONFIG
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.store.manifest import Manifest
from longshore.shared.store.store import Store

#: Bytes up to which a file of a version is read for a check.
_MAX_BYTES: Final = 4 * 2**20
#: Versions that are remembered, at most.
_MAX_VERSIONS: Final = 256


@dataclass(frozen=True)
class LanguageFacts:
    """What is known of a version without loading it. ``None``: not known here; the worker checks it."""

    #: Tells models apart that an engine loads; versions with one key share an engine.
    key: str | None = None
    #: Tokens of prompt and text together, at most.
    max_model_len: int | None = None
    has_chat_template: bool | None = None
    #: Whether its chat template has a place for tools.
    knows_tools: bool | None = None
    #: Whether an encoder reads the prompt, and a decoder writes the text.
    encoder_decoder: bool | None = None


NO_FACTS: Final = LanguageFacts()
#: By the digest of a version, which never changes.
_known: dict[str, LanguageFacts] = {}


def language_facts(version: VersionRecord, store: Callable[[], Store]) -> LanguageFacts:
    """Read the small files of a version, once.

    :param store: where they are; a producer that cannot reach it knows less.
    """
    facts = _known.get(version.digest)
    if facts is None:
        facts = _read(Manifest.model_validate(version.manifest), store)
        if len(_known) >= _MAX_VERSIONS:
            _known.clear()
        if None not in (facts.max_model_len, facts.has_chat_template):
            _known[version.digest] = facts
    return facts


def _read(manifest: Manifest, store: Callable[[], Store]) -> LanguageFacts:
    config = _object(manifest, CONFIG, store)
    try:
        positions = None if config is None else read_positions(config, "model")
    except InvalidInput:
        positions = None
    key, max_model_len = base_key(manifest), manifest.generation.max_model_len or positions
    architecture = None if config is None else ARCHITECTURES.get(str(config.get("model_type")))
    facts = LanguageFacts(
        key, max_model_len, encoder_decoder=None if architecture is None else architecture.encoder_decoder
    )
    templates = _templates(manifest, store)
    if templates is None:
        return facts
    return replace(facts, has_chat_template=templates.default is not None, knows_tools=templates.knows_tools)


def _templates(manifest: Manifest, store: Callable[[], Store]) -> ChatTemplates | None:
    """The chat templates; ``None`` if they cannot be read."""
    config = _object(manifest, TOKENIZER_CONFIG, store)
    try:
        files = {name: store().fetch_blob(blob) for name, blob in manifest.files.items() if is_template_file(name)}
        return None if config is None and not files else read_chat_templates(files, config or {}, "model")
    except (ServiceUnavailable, CorruptBlob, InvalidInput):
        return None


def _object(manifest: Manifest, path: str, store: Callable[[], Store]) -> dict[str, JsonValue] | None:
    """The content of a file of JSON; ``None`` if it cannot be read."""
    blob = manifest.files.get(path)
    if blob is None or blob.size > _MAX_BYTES:
        return None
    try:
        content = json.loads(store().read_blob(blob.digest))
    except (ServiceUnavailable, CorruptBlob, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
