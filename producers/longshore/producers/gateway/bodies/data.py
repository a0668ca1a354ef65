"""Rows and addresses as JSON has them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias, TypeGuard, cast

import numpy as np
import pyarrow as pa
from pydantic import Field, JsonValue, SkipValidation

from longshore.producers.data import Data as ClientData
from longshore.producers.data import GenerateData as ClientGenerateData
from longshore.producers.gateway.bodies.arrow_messages import check_uncompressed
from longshore.producers.planning.language.prompt_data import is_conversation, is_prompt
from longshore.shared.datasets.bounds import TooLarge
from longshore.shared.datasets.inline import decode_block
from longshore.shared.errors import CorruptBlob, InvalidInput

#: The key of rows as Arrow has them, with all of its types.
ARROW: Final = "arrow"
Columns: TypeAlias = dict[str, list[JsonValue]]
ArrowRows: TypeAlias = dict[Literal["arrow"], str]
JsonRows: TypeAlias = str | list[dict[str, JsonValue]] | Columns | ArrowRows | list[str] | list[list[JsonValue]]
JsonPrompts: TypeAlias = (
    str | list[str] | list[dict[str, JsonValue]] | Columns | ArrowRows | list[list[dict[str, JsonValue]]]
)
#: What the client checks itself; the types are for the schema.
Data: TypeAlias = Annotated[
    JsonRows,
    SkipValidation,
    Field(
        description="A path or URI that the gateway and the workers can read; the id of an uploaded file; or rows: a "
        "list of objects, an object of columns, a list of texts, an array of numbers whose first axis counts rows, or "
        "an object with an Arrow IPC stream in base64 as `arrow`.",
        examples=[[{"text": "a fine film"}], "s3://bucket/rows.parquet"],
    ),
]
GenerateData: TypeAlias = Annotated[
    JsonPrompts,
    SkipValidation,
    Field(
        description="A prompt, a list of prompts, a list of messages, or a list of such lists; or a path, URI or rows "
        "with a column `prompt` or `messages`.",
        examples=[["Write a haiku about the sea."]],
    ),
]


def client_data(data: JsonRows) -> ClientData:
    """Data as the client takes it: arrays of numbers become arrays of NumPy.

    :raises InvalidInput: it is neither an address nor rows, or the lists of an array have different lengths.
    """
    if isinstance(data, list) and data and isinstance(data[0], list):
        try:
            array = np.array(data)
        except (ValueError, OverflowError):
            raise InvalidInput("data", "the lists of an array of numbers must all have the same length") from None
        if array.dtype.kind not in "biuf":
            raise InvalidInput("data", "an array must have numbers only; name the columns of other rows")
        return array
    if isinstance(data, pa.Table):  # of a file that was uploaded
        return data
    if _is_arrow(data):
        return _table(data)
    _check(data)
    return cast("ClientData", data)


def client_prompts(data: JsonPrompts, form: JsonValue = None) -> ClientGenerateData:
    """Prompts or messages as the client takes them; of texts, only addresses stay texts.

    A text with spaces is a prompt here, whatever files this machine has: callers must not find out.

    :param form: the format of a file, if the request says one: a text then is its address.
    :raises InvalidInput: it is neither an address nor prompts.
    """
    if isinstance(data, pa.Table):  # of a file that was uploaded
        return data
    if _is_arrow(data):
        return _table(data)
    _check(data)
    if isinstance(data, str) and form is None and is_prompt(data):
        return [data]
    return cast("ClientGenerateData", data)


def _is_arrow(data: JsonRows | JsonPrompts) -> TypeGuard[ArrowRows]:
    return isinstance(data, dict) and data.keys() == {ARROW} and isinstance(data[ARROW], str)


def _table(data: ArrowRows) -> pa.Table:
    try:
        content = base64.b64decode(data[ARROW], validate=True)
        check_uncompressed(content)
        table = decode_block(content)
    except (binascii.Error, ValueError, CorruptBlob, TooLarge) as error:
        raise InvalidInput("data", f"arrow must be an uncompressed Arrow IPC stream in base64: {error}") from None
    # A column of nulls takes no bytes, however many rows it has.
    if table.num_rows > 8 * len(content):
        raise InvalidInput("data", f"arrow has {table.num_rows:,} rows in {len(content):,} bytes, which hold no values")
    return table


def _check(data: object) -> None:
    if not isinstance(data, str | list | dict):
        raise InvalidInput("data", "must be a path, a URI, or rows")
    if isinstance(data, dict) and not all(isinstance(column, list) for column in data.values()):
        raise InvalidInput("data", "an object has a list of values for each column; a list of objects is rows")


def client_options(options: Mapping[str, JsonValue]) -> dict[str, JsonValue | ClientData]:
    """The options of a training, with the rows of other splits as the client takes them.

    :raises InvalidInput: such rows are no Arrow stream.
    """
    found: dict[str, JsonValue | ClientData] = dict(options)
    for name in ("validation", "test"):
        value = options.get(name)
        if isinstance(value, dict) and _is_arrow(cast("JsonRows", value)):
            try:
                found[name] = _table(cast("ArrowRows", value))
            except InvalidInput as error:
                raise InvalidInput(name, error.reason) from None
    return found


def count_rows(data: ClientData | ClientGenerateData, *, generates: bool) -> int:
    """The rows that come with a request; those of a file are not known yet, and count as none.

    :param generates: whether the messages of a conversation are one row.
    """
    match data:
        case str():
            return int(generates and is_prompt(data))  # or else an address
        case dict():
            return max((len(column) for column in data.values() if isinstance(column, list)), default=0)
        case list() if generates and is_conversation(data):
            return 1
        case list() | np.ndarray() | pa.Table():
            return len(data)
        case _:
            return 0
