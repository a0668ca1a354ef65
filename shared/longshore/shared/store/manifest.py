"""What one version is: canonical JSON, whose SHA-256 is the version's digest."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import from_json

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.specs.validation import build

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(r"[A-Za-z0-9._-]{1,120}(/[A-Za-z0-9._-]{1,120}){0,3}")

#: What the one file of a version, of a family the first, is called in its folder, by runtime; others have several.
CONTENT_FILES = {"family": "weights.safetensors", "onnx": "model.onnx"}
#: What a manifest itself is called there.
MANIFEST_FILE = "manifest.json"
#: What a manifest must have and must not have, by runtime.
_REQUIRED = {
    "family": ("family", "config", "weights"),
    "onnx": ("weights",),
    "huggingface": ("files",),
    "pt2": ("files",),
}
_FORBIDDEN = {
    "family": ("files",),
    "onnx": ("family", "config", "files", "tokenizer"),
    "huggingface": ("family", "config", "weights", "tokenizer"),
    "pt2": ("family", "config", "weights", "tokenizer"),
}


def check_digest(digest: str) -> str:
    """:raises ValueError: it is no digest. Checked before a digest from outside becomes part of a path."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest[:80]!r} is not a digest, sha256: and 64 hexadecimal digits")
    return digest


def digest_of(content: bytes | memoryview) -> str:
    """``sha256:<hex>`` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check_path(path: str) -> str:
    """:raises ValueError: it is no plain path below a folder. Checked before a file is written there."""
    if not _PATH.fullmatch(path) or any(part.strip(".") == "" for part in path.split("/")):
        raise ValueError(f"{path[:80]!r} is no path of letters, digits, '.', '_' and '-' below the version's folder")
    return path


Digest = Annotated[str, AfterValidator(check_digest)]


class Blob(BaseModel):
    """Some bytes in the store, named by what they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: Digest
    #: Bytes.
    size: int = Field(ge=0)


class Manifest(BaseModel):
    """All of a version: how to build it, its weights, what it takes and gives, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    #: What executes the version.
    runtime: Literal["family", "onnx", "huggingface", "pt2"] = "family"
    #: Of the runtime ``family``; others have none, and write neither this nor ``config``.
    family: str = ""
    #: What the family was told.
    config: dict[str, JsonValue] = Field(default_factory=dict)
    #: Safetensors of a family; the whole program of ``onnx``. Others have none.
    weights: Blob | None = None
    #: Of a family that reads texts: what makes ids of them, as the library tokenizers writes it. Others write none.
    tokenizer: Blob | None = None
    #: Of ``huggingface`` every file of its folder that is needed, of ``pt2`` the program and its weights; by the path
    #: of each. Others write none.
    files: dict[Annotated[str, AfterValidator(check_path)], Blob] = Field(default_factory=dict)
    signature: Signature
    #: Name to value, as measured when the version was made.
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict)
    #: Where it comes from: job, data, seed, ...
    lineage: dict[str, JsonValue] = Field(default_factory=dict)
    #: ISO 8601, UTC.
    created_at: str

    @model_validator(mode="after")
    def _check_runtime(self) -> Manifest:
        if self.runtime == "family" and not self.family:
            raise ValueError("a version of the runtime family names its family")
        wrong = [field for field in _FORBIDDEN[self.runtime] if getattr(self, field)]
        if wrong:
            raise ValueError(f"a version of the runtime {self.runtime} has no {wrong[0]}")
        if not self.blobs:
            raise ValueError(f"a version of the runtime {self.runtime} names its {_REQUIRED[self.runtime][-1]}")
        if (self.tokenizer is not None) != (self.runtime == "family" and self.signature.is_text):
            raise ValueError("a version of a family has a tokenizer if it reads texts, and only then")
        if MANIFEST_FILE in self.files:
            raise ValueError(f"{MANIFEST_FILE} is the manifest itself")
        return self

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # A runtime writes its own fields alone, so that the digests of older versions stay as new ones are added.
        written: dict[str, object] = handler(self)
        for field in _FORBIDDEN[self.runtime]:
            del written[field]
        if self.tokenizer is None:
            written.pop("tokenizer", None)
        return written

    @property
    def blobs(self) -> dict[str, Blob]:
        """Every blob of the version, by the path of its file in an exported folder; sorted."""
        if self.weights is not None:
            content = {CONTENT_FILES[self.runtime]: self.weights}
            return content if self.tokenizer is None else {TOKENIZER_FILE: self.tokenizer, **content}
        return dict(sorted(self.files.items()))

    def canonical(self) -> bytes:
        """The one way to write it: UTF-8 JSON, keys sorted, no spaces, floats in their shortest exact form.

        :raises InvalidInput: a value has no place in JSON (NaN, infinity, half of a surrogate pair).
        """
        try:
            text = json.dumps(
                self.model_dump(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
            )
            return text.encode()
        except ValueError as error:
            raise InvalidInput("manifest", f"cannot be written as JSON: {error}") from None

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of the canonical bytes."""
        return digest_of(self.canonical())

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """:raises InvalidInput: it is no manifest that this release of Longshore can read."""
        try:
            values = from_json(content, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidInput("manifest", f"not JSON: {error}") from None
        if not isinstance(values, dict):
            raise InvalidInput("manifest", "not a JSON object")
        if values.get("format") != 1:
            raise InvalidInput(
                "manifest.format",
                f"{values.get('format')!r}: this Longshore reads format 1; use the one that wrote it, or a newer one",
            )
        runtime = str(values.get("runtime", "family"))
        for field in _REQUIRED.get(runtime, ()):
            if field not in values:
                raise InvalidInput(f"manifest.{field}", "required, and not given")
        for field in _FORBIDDEN.get(runtime, ()):
            if field in values:
                raise InvalidInput(f"manifest.{field}", f"a version of the runtime {runtime} has none")
        return build(cls, values, prefix="manifest.")
