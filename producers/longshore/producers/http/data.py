"""Requests as the gateway takes them. Rows in memory travel as Arrow has them, so that no type changes."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

import pyarrow as pa
from pydantic import JsonValue

from longshore.producers.data import Data, GenerateData
from longshore.producers.planning.language.prompt_data import address_of, rows_of
from longshore.producers.planning.language.structured_output import with_schema
from longshore.producers.planning.options import FORMAT
from longshore.producers.requests import CrossValidate, Evaluate, Generate, Infer, Request, Train, Tune
from longshore.shared.datasets.inline import encode_block, to_table
from longshore.shared.errors import InvalidInput
from longshore.shared.limits import check_inline

#: Bytes of rows that one request has in its body; what is more is uploaded before.
BODY_BYTES: Final = 8 << 20
#: Options with data.
_DATA_OPTIONS: Final = frozenset({"validation", "test"})
_KINDS: Final[Mapping[type[Request], str]] = {
    Infer: "infer",
    Generate: "generate",
    Train: "train",
    Tune: "tune",
    CrossValidate: "cross_validate",
    Evaluate: "evaluate",
}
#: Uploads an Arrow file and returns the id of the file.
Upload = Callable[[bytes], str]


class RequestBodies:
    """Makes the bodies of one call, which are sent together.

    :param upload: is called with the rows that do not fit.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._left = BODY_BYTES

    def request(self, request: Request) -> dict[str, JsonValue]:
        """The body of a request.

        :raises InvalidInput: its rows, or a value of an option, cannot be sent.
        """
        body: dict[str, JsonValue] = {"kind": _KINDS[type(request)], "model": request.model}
        options = cast("Mapping[str, object]", request.options)
        if isinstance(request, Generate):
            body["data"] = self.prompts(request.data, options.get(FORMAT))
        else:
            body["data"] = self.rows(request.data)
        if isinstance(request, Train | Tune | CrossValidate):
            body["family"] = request.family
        if not isinstance(request, Infer | Generate):
            body["target"] = request.target
        if isinstance(request, Tune):
            body["space"] = _jsonable("space", request.space)
        body["options"] = self.options(options)
        return body

    def rows(self, data: Data, field: str = "data") -> JsonValue:
        """Data as the gateway takes it: an address, or rows."""
        if isinstance(data, str | os.PathLike):
            return address(data)
        try:
            return self._table(to_table(data))
        except InvalidInput as error:
            raise InvalidInput(field if error.field == "data" else error.field, error.reason) from None

    def prompts(self, data: GenerateData, form: object = None) -> JsonValue:
        """As :meth:`rows`, for prompts and messages."""
        file = address_of(data, None if form is None else str(form))
        if file is None:
            return self.rows(rows_of(data))
        if form is None and re.search(r"\s", os.fspath(file)):
            raise InvalidInput(
                "format", f"not set; at the gateway, a text with spaces is a prompt, and no path: {file!r}"
            )
        return address(file)

    def options(self, options: Mapping[str, object]) -> JsonValue:
        """The options of a request."""
        return {
            name: self.rows(cast("Data", value), name)
            if name in _DATA_OPTIONS and not isinstance(value, int | float | None)
            else _jsonable(name, value)
            for name, value in with_schema(options).items()
        }

    def _table(self, table: pa.Table) -> JsonValue:
        check_inline(table.nbytes)
        content = encode_block(table)
        if len(content) > self._left:
            return self._upload(_file(table))
        self._left -= len(content)
        return {"arrow": base64.b64encode(content).decode()}


def _file(table: pa.Table) -> bytes:
    """A table as an Arrow file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def address(data: str | os.PathLike[str]) -> str:
    """A path or URI, a relative path as seen from here."""
    text = os.fspath(data)
    if "://" in text or text.startswith("file-"):
        return text
    return str(Path(text).expanduser().absolute())


def _jsonable(field: str, value: object) -> JsonValue:
    """The value of an option as JSON has it: numbers of NumPy, enumerations and paths too.

    :raises InvalidInput: it has none.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return address(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(field, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(field, item) for item in value]
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return _jsonable(field, dump(mode="json"))
    to_list = getattr(value, "tolist", None)  # of NumPy's numbers and arrays
    if to_list is not None:
        return _jsonable(field, to_list())
    raise InvalidInput(field, f"{type(value).__name__} cannot be sent as JSON")
