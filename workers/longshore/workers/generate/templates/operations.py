"""The operators, filters, tests and methods of templates, each of which is counted before it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import Formatter
from types import BuiltinMethodType, FunctionType, GeneratorType, MethodType
from typing import Final

from jinja2 import pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.utils import _PassArg

from longshore.workers.generate.templates.meter import STEP_CHARACTERS, Meter

#: Where the meter of a rendering is kept: under no name that a template can write.
METER: Final = " meter"
#: The most bits of a whole number that is computed.
_MAX_BITS: Final = 4096
#: The most that a number may be that says how long a text becomes or how many lists.
_MAX_SIZE: Final = 1000
#: Filters whose arguments say how long a text becomes or how many lists.
_SIZED: Final = frozenset({"batch", "center", "indent", "round", "slice", "tojson", "truncate", "wordwrap"})
#: Filters and tests that do not look at all of a value.
_CONSTANT: Final = frozenset(
    {
        *("attr", "d", "default", "first", "last", "length", "count", "safe", "abs"),
        *("boolean", "callable", "defined", "divisibleby", "escaped", "even", "false", "filter", "float", "integer"),
        *("iterable", "mapping", "none", "number", "odd", "sameas", "sequence", "string", "test", "true", "undefined"),
    }
)
#: Filters that go through the items, or the characters, and do not look into them.
_SHALLOW: Final = frozenset(
    {"items", "map", "random", "reject", "rejectattr", "reverse", "select", "selectattr", "batch", "slice"}
)
#: Filters that compare the items with each other.
_SORTS: Final = frozenset({"dictsort", "groupby", "max", "min", "sort", "unique"})
#: Filters that take longer for a text than others.
_SLOW: Final = frozenset({"title", "urlencode", "wordcount"})
#: Filters whose results can hold the same value many times.
_REPEATS: Final = frozenset({"batch", "list", "slice"})
#: Filters whose time is not proportional to what they are given; no chat template uses them.
REMOVED_FILTERS: Final = ("pprint", "striptags", "urlize", "xmlattr")

_METHODS: Final[Mapping[type, frozenset[str]]] = {
    str: frozenset(
        {
            *("capitalize", "casefold", "center", "count", "endswith", "find", "format", "index", "isalnum", "isalpha"),
            *("isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace"),
            *("istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix"),
            *("replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines"),
            *("startswith", "strip", "swapcase", "title", "upper", "zfill"),
        }
    ),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index"}),
    int: frozenset({"bit_length", "is_integer"}),
    float: frozenset({"is_integer"}),
}
#: Filters that look an attribute up in each item, by the position of its name among the arguments; -1: only by name.
_ATTRIBUTES: Final[Mapping[str, int]] = {
    **{"groupby": 0, "rejectattr": 0, "selectattr": 0, "sum": 0},
    **{"join": 1, "max": 1, "min": 1, "unique": 1, "sort": 2, "map": -1},
}
#: The most parts of the name of an attribute, such as ``function.name``.
_MAX_ATTRIBUTE_PARTS: Final = 5
#: Methods of texts whose time grows with the length of the text times that of the argument.
_SEARCHES: Final = frozenset({"lstrip", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "strip"})
#: Methods of texts whose first argument is the length of the result.
_PADS: Final = frozenset({"center", "ljust", "rjust", "zfill"})
#: In a format with ``%``: a width or a precision of more than three digits, or one that is an argument; and a name in
#: which there are parentheses, behind which one could hide.
_WIDE: Final = re.compile(r"%(\([^()]*\))?[#0 +-]*(\d*\.)?(\*|\d{4})|%\([^)]*\(")
#: Likewise, in the format of a field of ``str.format``.
_WIDE_FIELD: Final = re.compile(r"\d{4}|\{")


def meter_of(context: Context) -> Meter:
    """The meter of the rendering."""
    meter = context.parent[METER]
    assert isinstance(meter, Meter)
    return meter


def check_operands(meter: Meter, operator: str, left: object, right: object) -> None:
    """Count an operation, before it is done.

    :raises SecurityError: its result would be too large.
    """
    meter.take(1)
    if operator == "+":
        _weigh_sequences(meter, left, right)
    elif operator == "-" and not (isinstance(left, int | float) and isinstance(right, int | float)):
        meter.take(meter.weigh(left) + meter.weigh(right))  # of the keys of objects
    elif operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and isinstance(times, int):
                meter.take(meter.weigh(sequence) * max(times, 0))
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() + right.bit_length())
    elif operator == "**":
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * max(right, 0))
    elif operator == "%" and isinstance(left, str):
        check_format(meter, left, right)


def check_format(meter: Meter, pattern: str, values: object) -> None:
    """Count the formatting of values, by ``%`` or by ``str.format``.

    :raises SecurityError: its result would be too large.
    """
    fields = max(pattern.count("%"), pattern.count("{"))
    meter.take(meter.weigh(pattern) + fields * (meter.weigh(values) + _MAX_SIZE // STEP_CHARACTERS))
    if _WIDE.search(pattern):
        raise SecurityError("a format with a width of more than 999, or one that is an argument")


def _check_fields(pattern: str) -> None:
    """:raises SecurityError: as in :func:`check_format`, for ``str.format``."""
    try:
        specs = [spec for _, _, spec, _ in Formatter().parse(pattern) if spec]
    except ValueError:
        return  # an error of the format, which is raised when it is used
    if any(map(_WIDE_FIELD.search, specs)):
        raise SecurityError("a format with a width of more than 999, or one that is an argument")


def check_call(meter: Meter, target: object, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Count a call, before it is made.

    :raises SecurityError: a method that templates have no use for, or whose result would be too large.
    """
    meter.take(4)
    for value in (*args, *kwargs.values()):
        meter.weigh(value)
    method = getattr(target, "__wrapped__", target) if isinstance(target, FunctionType) else target
    if not isinstance(method, BuiltinMethodType | MethodType):
        return
    owner, name = method.__self__, method.__name__
    kind = next((kind for kind in _METHODS if isinstance(owner, kind)), None)
    if kind is None:
        if isinstance(method, BuiltinMethodType):
            raise SecurityError(f"{name!r} is no method that a template can call")
        return
    if name not in _METHODS[kind]:
        raise SecurityError(f"{name!r} is no method of {kind.__name__} that a template can call")
    if isinstance(owner, str):
        _check_text_method(meter, owner, name, (*args, *kwargs.values()))
    elif name in ("count", "index"):
        meter.weigh(owner)


def _check_text_method(meter: Meter, text: str, name: str, args: Sequence[object]) -> None:
    meter.take(len(text) // STEP_CHARACTERS)
    if name in _PADS or name in _SEARCHES:
        _check_size([arg for arg in args if name in _PADS or isinstance(arg, str)])
    elif name == "replace":
        _check_replace(meter, text, args)
    elif name == "join":
        _check_join(meter, text, args[0] if args else ())
    elif name == "format":
        check_format(meter, text, list(args))
        _check_fields(text)
    elif name in ("split", "rsplit", "splitlines"):
        # Its items are counted once they are there; this is about the memory until then.
        meter.take(_pieces(text, name, args))


def _pieces(text: str, name: str, args: Sequence[object]) -> int:
    separator = args[0] if args and name != "splitlines" else None
    return text.count(separator) if isinstance(separator, str) and separator else len(text) // 2


def _check_replace(meter: Meter, text: str, args: Sequence[object]) -> None:
    if len(args) < 2 or not isinstance(args[0], str) or not isinstance(args[1], str):
        return
    old, new = args[0], args[1]
    count = text.count(old) if old else len(text) + 1
    meter.take(count + (len(text) + count * len(new)) // STEP_CHARACTERS)


def _check_join(meter: Meter, separator: str, items: object) -> None:
    if isinstance(items, Sequence | Mapping):
        meter.take(len(items) * (1 + len(separator) // STEP_CHARACTERS))


def _weigh_sequences(meter: Meter, *values: object) -> None:
    for value in values:
        if isinstance(value, str | list | tuple):
            meter.weigh(value)


def _check_bits(bits: int) -> None:
    if bits > _MAX_BITS:
        raise SecurityError(f"a whole number of more than {_MAX_BITS} bits")


def _check_size(args: Sequence[object]) -> int:
    """The sizes that arguments ask for together, in characters.

    :raises SecurityError: one of them is too large.
    """
    sizes = [_size(arg) for arg in args]
    if any(size > _MAX_SIZE for size in sizes):
        raise SecurityError(f"a size of {max(sizes):,.0f}, more than {_MAX_SIZE:,}")
    return int(sum(sizes))


def _size(arg: object) -> float:
    if isinstance(arg, str):
        return len(arg)
    if isinstance(arg, list | tuple):
        return sum(map(_size, arg))
    return abs(arg) if isinstance(arg, int | float) else 1


def metered_filter(name: str, function: Callable[..., object]) -> Callable[..., object]:
    """A filter or a test that is counted before it runs."""
    passed = _PassArg.from_obj(function)

    @pass_context
    def metered(context: Context, value: object, /, *args: object, **kwargs: object) -> object:
        meter = meter_of(context)
        value = _prepared(meter, name, value)
        _check_filter(meter, name, value, args, kwargs)
        first: tuple[object, ...] = ()
        if passed is _PassArg.context:
            first = (context,)
        elif passed is _PassArg.eval_context:
            first = (context.eval_ctx,)
        elif passed is _PassArg.environment:
            first = (context.environment,)
        result = function(*first, value, *args, **kwargs)
        if isinstance(result, int):
            _check_bits(result.bit_length())
        if name in _REPEATS:
            result = list(result) if isinstance(result, Iterator) else result
            meter.weigh(result)
        return result

    return metered


def _prepared(meter: Meter, name: str, value: object) -> object:
    """The value of a filter, with iterators that count; those whose items are looked at are drawn first."""
    value = meter.metered(value)
    deep = name not in _CONSTANT and name not in _SHALLOW
    return list(value) if deep and isinstance(value, GeneratorType) else value


def _check_filter(
    meter: Meter, name: str, value: object, positional: Sequence[object], named: Mapping[str, object]
) -> None:
    args = (*positional, *named.values())
    meter.take(4)
    weight = sum(map(meter.weigh, args))
    if name in _ATTRIBUTES:
        at = _ATTRIBUTES[name]
        _check_attribute(named.get("attribute", positional[at] if 0 <= at < len(positional) else None))
    if name in _CONSTANT:
        return
    by_item = name in _SHALLOW or (name == "list" and isinstance(value, str))
    weight += meter.measure(value) if by_item else meter.weigh(value)
    if name in _SIZED:
        meter.take(weight * (1 + _check_size(args)))
    elif name in _SLOW:
        meter.take(8 * weight)
    elif name in _SORTS:
        meter.take(16 * weight)
        if isinstance(value, str):
            meter.take(16 * len(value))
    elif name == "trim":
        _check_size(args)
    elif name == "replace":
        old, new = (named.get(key, *positional[at : at + 1]) for at, key in enumerate(("old", "new")))
        _check_replace(meter, str(value), (old, new))
    elif name == "join":
        meter.measure(value)
        _check_join(meter, max((arg for arg in args if isinstance(arg, str)), key=len, default=""), value)
    elif name == "format":
        check_format(meter, str(value), list(args))
    elif name == "sum" and not all(isinstance(arg, int | float | str | None) for arg in args):
        raise SecurityError("sum of what are no numbers")


def _check_attribute(attribute: object) -> None:
    """:raises SecurityError: it takes long to look an attribute up."""
    parts = len(re.split("[.,]", attribute)) if isinstance(attribute, str) else 1
    if parts > _MAX_ATTRIBUTE_PARTS or not isinstance(attribute, str | int | None):
        raise SecurityError(f"an attribute of more than {_MAX_ATTRIBUTE_PARTS} parts, or one that is no name")
