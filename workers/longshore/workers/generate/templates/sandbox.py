"""The sandbox of chat templates: that of Jinja, as transformers sets it up, whose templates also count what they do.

Nodes are put into the syntax tree of a template where a loop or a macro begins, where a value is written, compared or
put into a container, and where a text is made of others. Calls, operators, filters and tests are counted by
:mod:`~longshore.workers.generate.templates.operations`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from types import GeneratorType
from typing import Final, TypeVar

from jinja2 import Template, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from longshore.workers.generate.templates.meter import (
    MAX_STEPS,
    STEP_CHARACTERS,
    STEP_EXPRESSIONS,
    Meter,
    TemplateTooExpensive,
)
from longshore.workers.generate.templates.operations import (
    METER,
    REMOVED_FILTERS,
    check_call,
    check_operands,
    meter_of,
    metered_filter,
)

N = TypeVar("N", bound=nodes.Node)

#: The longest template, in characters. The longest in use have some 30,000.
MAX_SOURCE_LENGTH: Final = 100_000
#: Templates that are kept when they are not in use.
_KEPT_TEMPLATES: Final = 16
#: Filters of the nodes that are put in; no template can write such a name, since it has a space.
_TICK: Final = "longshore tick"
_WEIGH: Final = "longshore weigh"
_MEASURE: Final = "longshore measure"
#: Where no time is longer than the format.
_MAX_TIME_FORMAT: Final = 100


class BoundedTemplate:
    """A compiled template.

    :raises ValueError: it cannot be compiled.
    """

    def __init__(self, source: str) -> None:
        self._template = _compiled(source)

    def render(self, values: Mapping[str, object]) -> str:
        """The text of the template.

        :param values: by name; JSON values.
        :raises ValueError: the template raises, reaches for what it may not have, or does too much.
        """
        meter = Meter(MAX_STEPS, values)
        try:
            context = self._template.new_context({**values, METER: meter})
            return "".join(self._template.root_render_func(context))
        except TemplateTooExpensive as error:
            raise ValueError(f"the chat template was stopped: {error}") from None
        except SecurityError as error:
            raise ValueError(f"the chat template does what it may not: {_short(error)}") from None
        except TemplateError as error:
            raise ValueError(f"the chat template refuses it: {_short(error)}") from None
        except RecursionError:
            raise ValueError("the chat template was stopped: it calls itself without end") from None
        except Exception as error:
            raise ValueError(f"the chat template fails: {type(error).__name__}: {_short(error)}") from None


@lru_cache(_KEPT_TEMPLATES)
def _compiled(source: str) -> Template:
    if len(source) > MAX_SOURCE_LENGTH:
        raise ValueError(f"the chat template has {len(source):,} characters, more than {MAX_SOURCE_LENGTH:,}")
    try:
        return _Environment().from_string(source)
    except Exception as error:  # of Jinja, and of the compiler of Python
        raise ValueError(f"the chat template cannot be compiled: {_short(error)}") from None


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 300 else f"{text[:300]}..."


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(["+", "-", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[_Generation, LoopControlExtension]
        )
        self.filters["tojson"] = _tojson
        for name in REMOVED_FILTERS:
            del self.filters[name]
        self.filters = {name: metered_filter(name, each) for name, each in self.filters.items()}
        self.filters |= {_TICK: _tick, _WEIGH: _weigh, _MEASURE: _measure}
        tests: Mapping[str, Callable[..., object]] = self.tests  # type: ignore[assignment]
        self.tests = {name: metered_filter(name, each) for name, each in tests.items()}
        del self.globals["lipsum"]
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
            "dict": _Dict(),
            "namespace": _Namespace,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Metered().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Compute ``left operator right``."""
        check_operands(meter_of(context), operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, target: object, /, *args: object, **kwargs: object) -> object:
        """Call a macro, a function or a method."""
        meter = meter_of(context)
        args = tuple(list(arg) if isinstance(arg, GeneratorType) else arg for arg in map(meter.metered, args))
        check_call(meter, target, args, kwargs)
        result = super().call(context, target, *args, **kwargs)
        if isinstance(result, str | list | tuple | dict):
            meter.weigh(result)
        return result


class _Generation(Extension):
    """``{% generation %}``, which marks what the model has written, for training."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """See :class:`jinja2.ext.Extension`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller: Macro) -> str:
        return str(caller())


class _Dict:
    """``dict`` in a template: the type itself has attributes."""

    def __call__(self, *args: Iterable[tuple[str, object]], **kwargs: object) -> dict[str, object]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: object) -> dict[object, object]:
        """As that of ``dict``."""
        return dict.fromkeys(*args)  # type: ignore[call-overload,no-any-return]


class _Namespace(Namespace):
    """``namespace`` in a template, without names that Python uses. It is not written out: it can hold itself."""

    def __init__(*args: object, **kwargs: object) -> None:
        self, *values = args
        assert isinstance(self, _Namespace)
        attributes = dict(*values, **kwargs)
        for name in attributes:
            _check_attribute(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: object) -> None:
        _check_attribute(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<Namespace>"


def _check_attribute(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace has no attribute {name[:80]!r}")


def _raise_exception(message: object) -> None:
    raise TemplateError(str(message))


def _strftime_now(format: str) -> str:
    if len(format) > _MAX_TIME_FORMAT or re.search(r"\d{3}", format):
        raise SecurityError("a format of a time that is too long")
    return datetime.now().strftime(format)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@pass_context
def _tick(context: Context, value: object, steps: int = 1) -> object:
    meter_of(context).take(steps)
    return value


@pass_context
def _weigh(context: Context, value: object) -> object:
    meter = meter_of(context)
    value = meter.metered(value)
    meter.weigh(value)
    return value


@pass_context
def _measure(context: Context, value: object) -> object:
    meter = meter_of(context)
    value = meter.metered(value)
    meter.measure(value)
    return value


class _Metered(NodeTransformer):
    """Puts the counting into a syntax tree."""

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [
            each if isinstance(each, nodes.TemplateData | nodes.Const) else _filtered(each, _WEIGH)
            for each in node.nodes
        ]
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        assert isinstance(node.iter, nodes.Expr)
        node.iter = _filtered(node.iter, _MEASURE)
        return _with_tick(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        return _with_tick(node)

    visit_CallBlock = visit_Macro
    visit_Block = visit_Macro

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [_filtered(each, _WEIGH) for each in node.nodes]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        constants = [isinstance(each, nodes.Const) for each in (node.expr, *(each.expr for each in node.ops))]
        if len(node.ops) == 1 and node.ops[0].op in ("eq", "ne") and any(constants):
            return node  # with a constant: takes no time
        node.expr = _filtered(node.expr, _WEIGH)
        for each in node.ops:
            each.expr = _filtered(each.expr, _WEIGH)
        return node

    def visit_List(self, node: nodes.List | nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        if getattr(node, "ctx", "load") != "load" or all(isinstance(each, nodes.Const) for each in node.items):
            return node
        return _filtered(node, _WEIGH)

    visit_Tuple = visit_List

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, _WEIGH)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, _MEASURE)
        elif not isinstance(node.arg, nodes.Const):
            node.arg = _filtered(node.arg, _WEIGH)  # a tuple is hashed
        return node


def _filtered(node: nodes.Expr, name: str, *args: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _with_tick(node: nodes.For | nodes.Macro) -> nodes.Node:
    """Count each run of a body: the steps of the text and of the expressions in it."""
    text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
    expressions = sum(1 for _ in node.find_all(nodes.Expr))
    steps = 1 + text // STEP_CHARACTERS + expressions // STEP_EXPRESSIONS
    tick = _filtered(nodes.Const("", lineno=node.lineno), _TICK, nodes.Const(steps, lineno=node.lineno))
    node.body.insert(0, nodes.Output([tick], lineno=node.lineno))
    return node
