"""Finds the chat template of a folder, where the versions of the library write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files
from longshore.shared.specs.validation import shorten

TEMPLATE, TEMPLATE_JSON, TEMPLATE_FOLDER = "chat_template.jinja", "chat_template.json", "additional_chat_templates"
#: The name of the template for messages, and of that for messages with tools.
_DEFAULT, _TOOL_USE = "default", "tool_use"
#: The longest template, in bytes. Real ones have some 10 kB.
_MAX_BYTES = 2**20


@dataclass(frozen=True)
class ChatTemplates:
    """In Jinja; ``None``: there is none."""

    default: str | None
    #: For messages with tools; ``None``: the default one.
    tool_use: str | None
    #: The files that they were read from, without ``tokenizer_config.json``.
    files: tuple[str, ...]

    @property
    def knows_tools(self) -> bool:
        """Whether that for messages with tools has a place for them."""
        return has_place_for_tools(self.tool_use or self.default or "")


def has_place_for_tools(source: str) -> bool:
    """Whether a template writes tools."""
    return "tools" in source


def is_template_file(path: str) -> bool:
    """Whether a file of a version can be a template, by its path in the folder."""
    return path == TEMPLATE or (path.startswith(f"{TEMPLATE_FOLDER}/") and path.endswith(".jinja"))


def read_chat_templates(files: Files, tokenizer_config: Mapping[str, object], field: str) -> ChatTemplates:
    """Read the templates. Files of their own replace what ``tokenizer_config.json`` states, as in the library.

    :param field: names the folder in an error.
    :raises InvalidInput: one is too long, or is no text; or there are several, and none of them is the default.
    """
    if TEMPLATE_JSON in files:
        raise InvalidInput(
            field, f"{TEMPLATE_JSON} is the template of a processor of more than texts; save it as {TEMPLATE}"
        )
    names = {_DEFAULT: TEMPLATE} if TEMPLATE in files else {}
    for name in files:
        folder, _, file = name.rpartition("/")
        if folder == TEMPLATE_FOLDER and file.endswith(".jinja"):
            names[file.removesuffix(".jinja")] = name
    if names:
        templates = {key: _read(files, name, field) for key, name in names.items()}
    else:
        templates = _stated(tokenizer_config.get("chat_template"), field)
    if templates and _DEFAULT not in templates:
        raise InvalidInput(
            field, f"there are the chat templates {shorten(sorted(templates))}, but none with the name {_DEFAULT}"
        )
    used = tuple(names[key] for key in (_DEFAULT, _TOOL_USE) if key in names)
    return ChatTemplates(templates.get(_DEFAULT), templates.get(_TOOL_USE), used)


def _read(files: Files, name: str, field: str) -> str:
    try:
        if files[name].stat().st_size > _MAX_BYTES:
            raise InvalidInput(field, f"{name} is larger than {_MAX_BYTES} bytes")
        return files[name].read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(field, f"cannot read {name}: {error.strerror}") from None
    except ValueError:
        raise InvalidInput(field, f"{name} is not text in UTF-8") from None


def _stated(value: object, field: str) -> dict[str, str]:
    """The templates of ``tokenizer_config.json``: a text, or a list of names and texts."""
    where = "tokenizer_config.json: chat_template"
    if value is None:
        return {}
    if isinstance(value, str):
        entries: dict[str, object] = {_DEFAULT: value}
    elif isinstance(value, list):
        entries = {}
        for entry in value:
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or name in entries:
                raise InvalidInput(field, f"{where} has an entry without a name of its own: {shorten(entry)}")
            entries[name] = entry.get("template")
    elif isinstance(value, dict):
        entries = value
    else:
        raise InvalidInput(field, f"{where} {shorten(value)} is neither a text nor a list of templates")
    templates: dict[str, str] = {}
    for name, text in entries.items():
        if not isinstance(text, str) or len(text.encode("utf-8", "replace")) > _MAX_BYTES:
            raise InvalidInput(field, f"{where}: {shorten(name)} is not a text of at most {_MAX_BYTES} bytes")
        templates[name] = text
    return templates
