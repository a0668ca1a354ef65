"""The description of one version: canonical JSON, whose SHA-256 is the version's digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
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
from longshore.shared.specs.generation_settings import NO_SETTINGS, GenerationSettings
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.specs.validation import build
from longshore.shared.vocabulary import RuntimeName

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(r"[A-Za-z0-9._-]{1,120}(/[A-Za-z0-9._-]{1,120}){0,3}")

#: The name of the weights file in a version's folder, by runtime. Other runtimes have several files, with their own
#: names.
CONTENT_FILES: Mapping[str, str] = {RuntimeName.FAMILY: "weights.safetensors", RuntimeName.ONNX: "model.onnx"}
#: The same for families that do not have weights.
_FAMILY_FILES: Mapping[str, str] = {"lightgbm": "model.txt"}
#: The name of the manifest in a version's folder.
MANIFEST_FILE = "manifest.json"
#: The fields that a manifest must have and must not have, by runtime.
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    RuntimeName.FAMILY: ("family", "config", "weights"),
    RuntimeName.ONNX: ("weights",),
    RuntimeName.HUGGINGFACE: ("files",),
    RuntimeName.PT2: ("files",),
}
_FORBIDDEN: Mapping[str, tuple[str, ...]] = {
    RuntimeName.FAMILY: ("files",),
    RuntimeName.ONNX: ("family", "config", "tokenizer"),
    RuntimeName.HUGGINGFACE: ("family", "config", "weights", "tokenizer"),
    RuntimeName.PT2: ("family", "config", "weights", "tokenizer"),
}


def content_file(family: str) -> str:
    """The name of the file with the weights, or the trees, of a family."""
    return _FAMILY_FILES.get(family, CONTENT_FILES[RuntimeName.FAMILY])


def check_digest(digest: str) -> str:
    """Validate a digest; call it before a digest from outside becomes part of a path.

    :raises ValueError: it is not a digest.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest[:80]!r} is not a digest (sha256: and 64 hexadecimal digits)")
    return digest


def digest_of(content: bytes | memoryview) -> str:
    """The digest of bytes, as ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check_path(path: str) -> str:
    """Validate a relative path below a version's folder; call it before a file is written there.

    :raises ValueError: it is not a plain relative path.
    """
    if not _PATH.fullmatch(path) or any(part.strip(".") == "" for part in path.split("/")):
        raise ValueError(
            f"{path[:80]!r} is not a relative path of letters, digits, '.', '_' and '-' in the version's folder"
        )
    return path


Digest = Annotated[str, AfterValidator(check_digest)]


class Blob(BaseModel):
    """Content-addressed bytes in the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: Digest
    #: In bytes.
    size: int = Field(ge=0)


class Manifest(BaseModel):
    """The full description of a version: how to build it, its weights, its signature and its lineage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    #: What runs the version.
    runtime: RuntimeName = RuntimeName.FAMILY
    #: Only for the runtime ``family``; the others write neither this nor ``config``.
    family: str = ""
    #: The family's configuration.
    config: dict[str, JsonValue] = Field(default_factory=dict)
    #: For ``family`` the weights as safetensors, or the trees as text; for ``onnx`` the whole program. Not written by
    #: other runtimes.
    weights: Blob | None = None
    #: Only for a family that reads texts: the tokenizer, as the library tokenizers serialises it.
    tokenizer: Blob | None = None
    #: By path in the version's folder: for ``huggingface`` every file that is needed, for ``pt2`` the program and its
    #: weights, for ``onnx`` the files in which the program stores tensors, if there are any. Not written by others.
    files: dict[Annotated[str, AfterValidator(check_path)], Blob] = Field(default_factory=dict)
    signature: Signature
    #: Only for the task ``generation``: how engines run the version. Not written if nothing is set.
    generation: GenerationSettings = NO_SETTINGS
    #: Only for a family: columns of the rows that it was trained on. Not written if there are none.
    statistics: tuple[ColumnStatistics, ...] = ()
    #: Name to value, as measured when the version was created.
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict)
    #: Its origin: job, data, seed, ...
    lineage: dict[str, JsonValue] = Field(default_factory=dict)
    #: ISO 8601, UTC.
    created_at: str

    @model_validator(mode="after")
    def _check_runtime(self) -> Manifest:
        if self.runtime is RuntimeName.FAMILY and not self.family:
            raise ValueError("a version of the runtime family must name its family")
        wrong = [field for field in _FORBIDDEN[self.runtime] if getattr(self, field)]
        if wrong:
            raise ValueError(f"a version of the runtime {self.runtime} must not have {wrong[0]}")
        if not self.blobs:
            raise ValueError(f"a version of the runtime {self.runtime} must have {_REQUIRED[self.runtime][-1]}")
        if (self.tokenizer is not None) != (self.runtime is RuntimeName.FAMILY and self.signature.is_text):
            raise ValueError("a tokenizer is required for a family that reads texts, and not allowed otherwise")
        if self.generation != NO_SETTINGS and self.signature.task != "generation":
            raise ValueError(f"a version of the task {self.signature.task} must not have generation")
        reserved = {MANIFEST_FILE, *([self.content_file] if self.weights is not None else [])}
        if not reserved.isdisjoint(self.files):
            raise ValueError(f"{', '.join(sorted(reserved & self.files.keys()))} is reserved")
        return self

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Each runtime writes only its own fields, so that the digests of older versions do not change with new fields.
        fields: dict[str, object] = handler(self)
        for field in _FORBIDDEN[self.runtime]:
            del fields[field]
        if self.tokenizer is None:
            fields.pop("tokenizer", None)
        for field in ("statistics", "generation"):
            if not fields[field]:
                del fields[field]
        if self.runtime is RuntimeName.ONNX and not self.files:
            del fields["files"]
        return fields

    @property
    def content_file(self) -> str:
        """The name of the file that :attr:`weights` is in a version's folder."""
        return content_file(self.family) if self.runtime is RuntimeName.FAMILY else CONTENT_FILES[self.runtime]

    @property
    def blobs(self) -> dict[str, Blob]:
        """Every blob of the version, by the path of its file in an exported folder, sorted."""
        if self.weights is not None:
            content = {self.content_file: self.weights}
            if self.tokenizer is not None:
                content = {TOKENIZER_FILE: self.tokenizer, **content}
            return dict(sorted({**content, **self.files}.items()))
        return dict(sorted(self.files.items()))

    def canonical(self) -> bytes:
        """The canonical form: UTF-8 JSON, keys sorted, no spaces, floats in their shortest exact form.

        :raises InvalidInput: a value cannot be written as JSON (NaN, infinity, a lone surrogate).
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
        """Read the JSON of a manifest.

        :raises InvalidInput: it is not a manifest that this release of Longshore can read.
        """
        try:
            values = from_json(content, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidInput("manifest", f"not JSON: {error}") from None
        if not isinstance(values, dict):
            raise InvalidInput("manifest", "not a JSON object")
        if values.get("format") != 1:
            raise InvalidInput(
                "manifest.format",
                f"{values.get('format')!r}: this release of Longshore reads format 1; use the release that wrote it, "
                "or a newer one",
            )
        runtime = str(values.get("runtime", RuntimeName.FAMILY))
        for field in _REQUIRED.get(runtime, ()):
            if field not in values:
                raise InvalidInput(f"manifest.{field}", "required, but missing")
        for field in _FORBIDDEN.get(runtime, ()):
            if field in values:
                raise InvalidInput(f"manifest.{field}", f"not allowed for a version of the runtime {runtime}")
        return build(cls, values, prefix="manifest.", any_text=True)
