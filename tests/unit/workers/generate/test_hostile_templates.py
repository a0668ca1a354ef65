"""Chat templates that loop without end, grow a text, or reach for what they may not have: each is an error."""

from __future__ import annotations

from typing import Final

import pytest

from longshore.workers.generate.templates.sandbox import BoundedTemplate

VALUES: Final = {
    "messages": [{"role": "user", "content": "the cat sat", "x": {"a": [1, 2, 3]}}] * 3,
    "tools": None,
    "add_generation_prompt": True,
}
#: Each would run for minutes, or take gigabytes, in the sandbox of Jinja alone, or do what no template needs.
HOSTILE: Final = {
    "nested loops": "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "filtered loop": "{% for a in range(1000) %}{% for b in range(100000) if false %}{% endfor %}{% endfor %}",
    "big range": "{% for a in range(10**9) %}{% endfor %}",
    "macro self": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "macro tree": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(50) }}",
    "block self": "{% block a %}{{ self.a() }}{% endblock %}",
    "recursive loop": "{% for a in [1,2] recursive %}{{ loop([1,2]) }}{% endfor %}",
    "doubling +": "{% set n = namespace(x='ab') %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubling ~": "{% set n = namespace(x='ab') %}{% for i in range(100) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling list": "{% set n = namespace(x=[1]) %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "nested list": (
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}"
    ),
    "nested tuple": (
        "{% set n = namespace(x=(1,)) %}{% for i in range(60) %}{% set n.x = (n.x, n.x) %}{% endfor %}{{ n.x "
        "in [n.x] }}"
    ),
    "nested dict": (
        "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n.x = {'a':n.x, 'b':n.x} %}{% endfor %}{{"
        " n.x|tojson }}"
    ),
    "nested dict()": (
        "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n.x = dict(a=n.x, b=n.x) %}{% endfor %}{{"
        " n.x|tojson }}"
    ),
    "nested fromkeys": (
        "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n.x = dict.fromkeys(range(1000), n.x) %}{"
        "% endfor %}{{ n.x|length }}"
    ),
    "nested batch": (
        "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n.x = [1]|batch(100, fill_with=n.x)|list "
        "%}{% endfor %}{{ n.x }}"
    ),
    "nested map default": (
        "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n.x = range(1000)|map(attribute='zz', def"
        "ault=n.x)|list %}{% endfor %}{{ n.x }}"
    ),
    "nested values": (
        "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n.x = dict(a=n.x,b=n.x).values()|list %}{"
        "% endfor %}{{ n.x }}"
    ),
    "times": "{{ 'a' * 10**10 }}",
    "times list": "{{ ([1] * 10**10)|length }}",
    "times nested": "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x * 1000 %}{% endfor %}",
    "power2": "{{ 2**1000000000 }}",
    "power growth": "{% set n = namespace(x=3) %}{% for i in range(60) %}{% set n.x = n.x*n.x %}{% endfor %}",
    "center": "{{ 'a'|center(10**9) }}",
    "center m": "{{ 'a'.center(10**9) }}",
    "ljust": "{{ 'a'.ljust(10**9) }}",
    "zfill": "{{ 'a'.zfill(10**9) }}",
    "indent": "{{ 'a\nb\n'|indent(10**9) }}",
    "indent many": "{{ ('a\n'*100000)|indent(1000) }}",
    "format": "{{ '%1000000000d' % 1 }}",
    "format2": "{{ '%1000000000d'|format(1) }}",
    "format*": "{{ '%*d' % (10**9, 1) }}",
    "format3": "{{ '{:>1000000000}'.format('a') }}",
    "format4": "{{ '{:{}}'.format('a', 10**9) }}",
    "formatkey": "{{ '%(a)1000000000d' % {'a':1} }}",
    "formatkey2": "{{ '%(a(b))1000000000d' % {'a(b)':1} }}",
    "formatprec": "{{ '%.1000000000f' % 1.0 }}",
    "format many": "{{ ('%999d' * 100000) % ((1,)*100000) }}",
    "format repeat": (
        "{% set n=namespace(x='a') %}{% for i in range(60) %}{% set n.x = '{0}{0}{0}{0}{0}{0}{0}{0}'.format(n"
        ".x) %}{% endfor %}"
    ),
    "% repeat": (
        "{% set n=namespace(x='a') %}{% for i in range(60) %}{% set n.x = '%(a)s%(a)s%(a)s%(a)s' % {'a':n.x} "
        "%}{% endfor %}"
    ),
    "format_map": "{{ '{a:>1000000000}'.format_map({'a':1}) }}",
    "replace": (
        "{% set n=namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x|replace('a','aaaaaaaaaa') %}{% endfor %}"
    ),
    "replace m": (
        "{% set n=namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x.replace('a','aaaaaaaaaa') %}{% endfor %}"
    ),
    "replace empty": "{{ ('a'*100000).replace('', 'a'*100000) }}",
    "join": "{{ range(100000)|join('a'*100000) }}",
    "join m": "{{ ('a'*100000).join(['b']*100000) }}",
    "join gen": "{{ ('a'*100000).join(range(100000)|map('string')) }}",
    "slice": "{{ []|slice(10**9)|list }}",
    "batch": "{{ [1]|batch(10**9,'x')|list }}",
    "round": "{{ 1|round(10**9) }}",
    "wordwrap": "{{ ('a'*100000)|wordwrap(1, wrapstring='a'*1000) }}",
    "tojson indent": "{{ [[[1]]]|tojson(indent=10**9) }}",
    "truncate": "{{ 'a'|truncate(10**9) }}",
    "sum": "{{ ([[1]*1000]*1000)|sum(start=[])|length }}",
    "sort": "{% for i in range(1000) %}{{ range(100000)|sort|length }}{% endfor %}",
    "unique": "{% for i in range(1000) %}{% set x = range(100000)|unique|list %}{% endfor %}",
    "in": "{% set l = range(100000)|list %}{% for i in range(100000) %}{{ -1 in l }}{% endfor %}",
    "in text": "{% set l = 'a'*1000000 %}{% for i in range(100000) %}{{ 'b' in l }}{% endfor %}",
    "compare": (
        "{% set l = [1]*100000 %}{% set k = [1]*100000 %}{% for i in range(100000) %}{% if l == k %}{% endif "
        "%}{% endfor %}"
    ),
    "test eq": (
        "{% set l = [1]*100000 %}{% set k = [1]*100000 %}{% for i in range(100000) %}{% if l is eq(k) %}{% en"
        "dif %}{% endfor %}"
    ),
    "upper": "{% set l = 'a'*1000000 %}{% for i in range(100000) %}{% set x = l|upper %}{% endfor %}",
    "upper m": "{% set l = 'a'*1000000 %}{% for i in range(100000) %}{% set x = l.upper() %}{% endfor %}",
    "slicing": "{% set l = 'a'*1000000 %}{% for i in range(100000) %}{% set x = l[1:] %}{% endfor %}",
    "chars": "{% set l = 'a'*1000000 %}{% for i in range(100000) %}{% for c in l %}{% endfor %}{% endfor %}",
    "list text": "{% set l = 'a'*1000000 %}{% for i in range(100000) %}{% set x = l|list %}{% endfor %}",
    "split": "{% set l = 'a '*500000 %}{% for i in range(100000) %}{% set x = l.split() %}{% endfor %}",
    "find": "{% set l = 'a'*1000000 %}{% for i in range(100000) %}{% set x = l.find('b') %}{% endfor %}",
    "count": "{% set l = [1]*100000 %}{% for i in range(100000) %}{% set x = l.count(2) %}{% endfor %}",
    "lipsum": "{{ lipsum(n=100000) }}",
    "set block": (
        "{% set n=namespace(x='ab') %}{% for i in range(60) %}{% set y %}{{n.x}}{{n.x}}{% endset %}{% set n.x"
        " = y %}{% endfor %}"
    ),
    "filter block": "{% for i in range(60) %}{% filter center(10**9) %}a{% endfilter %}{% endfor %}",
    "map center": "{{ ['a']|map('center', 10**9)|list }}",
    "cycler": (
        "{% set c = cycler(*range(100000)) %}{% for i in range(100000) %}{% for j in range(100000) %}{{ c.nex"
        "t() }}{% endfor %}{% endfor %}"
    ),
    "loop changed": "{% set l = [1]*100000 %}{% for i in range(100000) %}{{ loop.changed(l + []) }}{% endfor %}",
    "reversed in": "{% for i in range(100000) %}{{ 5 in (range(100000)|list|reverse) }}{% endfor %}",
    "dictsort": (
        "{% set d = dict.fromkeys(range(50000)) %}{% for i in range(10000) %}{% set x=d|dictsort %}{% endfor %}"
    ),
    "to_bytes": "{{ (1).to_bytes(10**9) }}",
    "expandtabs": "{{ '\t'.expandtabs(10**9) }}",
    "translate": "{{ ('a'*10000).translate({97:'b'*100000}) }}",
    "encode": "{{ 'a'.encode().center(10**9) }}",
    "pprint": "{{ [1]|pprint }}",
    "urlize": "{{ 'a'|urlize }}",
    "striptags": "{{ ('<a'*100000)|striptags }}",
    "Markup striptags": "{{ ('<a>'*100000)|e|safe }}{{ (('<a>'*100000)|safe).striptags() }}",
    "deep list": ("{% set n = namespace(x=[1]) %}{% for i in range(5000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}"),
    "deep json": (
        "{% set n = namespace(x=[1]) %}{% for i in range(1300) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x|tojson }}"
    ),
    "deep eq": (
        "{% set n = namespace(x=[1],y=[1]) %}{% for i in range(1300) %}{% set n.x = [n.x] %}{% set n.y = [n.y"
        "] %}{% endfor %}{{ n.x == n.y }}"
    ),
    "strftime": "{{ strftime_now('%1000000000d') }}",
    "attr mro": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attr init": "{{ cycler.__init__.__globals__ }}",
    "ns dunder": "{% set n = namespace(__class__=1) %}",
    "mutate": "{{ messages.append(1) }}",
    "import": "{% import 'os' as os %}{{ os }}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends '/etc/passwd' %}",
    "dict class": "{{ dict.__call__.__globals__ }}",
    "groupby": "{% for i in range(1000) %}{% set x = range(20000)|groupby('real')|list %}{% endfor %}",
    "min": "{% for i in range(100000) %}{{ range(100000)|min }}{% endfor %}",
    "wordcount": "{% set l='a '*400000 %}{% for i in range(100000) %}{{ l|wordcount }}{% endfor %}",
    "title": "{% set l='a '*400000 %}{% for i in range(100000) %}{% set x= l|title %}{% endfor %}",
    "urlencode": "{% set l='& '*400000 %}{% for i in range(100000) %}{% set x= l|urlencode %}{% endfor %}",
    "capitalize": "{% set l='& '*400000 %}{% for i in range(100000) %}{% set x= l|capitalize %}{% endfor %}",
    "trim": "{% set l='& '*400000 %}{% for i in range(100000) %}{% set x= l|trim('& ') %}{% endfor %}",
    "filesizeformat": (
        "{% for i in range(100000) %}{% for i in range(100000) %}{{ 1|filesizeformat }}{% endfor %}{% endfor %}"
    ),
    "random": "{% for i in range(100000) %}{% for i in range(100000) %}{{ [1]|random }}{% endfor %}{% endfor %}",
    "ticks": ("{% for i in range(100000) %}{% for i in range(100000) %}{% set x = i is odd %}{% endfor %}{% endfor %}"),
    "items": (
        "{% set d = dict.fromkeys(range(50000)) %}{% for i in range(100000) %}{% for k, v in d.items() %}{% e"
        "ndfor %}{% endfor %}"
    ),
    "neg": (
        "{% for i in range(100000) %}{% for i in range(100000) %}{% set x = -i if i else +i %}{% endfor %}{% endfor %}"
    ),
    "getitem": (
        "{% for i in range(100000) %}{% for i in range(100000) %}{% set x = messages[0]['content'] %}{% endfo"
        "r %}{% endfor %}"
    ),
    "strjson": "{% set l='\\n'*400000 %}{% for i in range(100000) %}{% set x= l|tojson %}{% endfor %}",
    "splat": (
        "{% macro f() %}{{ varargs|length }}{% endmacro %}{% for i in range(100000) %}{{ f(*range(100000)) }}"
        "{% endfor %}"
    ),
    "kwsplat": (
        "{% macro f() %}{{ kwargs|length }}{% endmacro %}{% set d = dict.fromkeys('abcdefgh'|list, 'a'*100000"
        ") %}{% for i in range(100000) %}{{ f(**d) }}{% endfor %}"
    ),
    "hashes": "{% set t = (1,) * 200000 %}{% set d = {} %}{% for i in range(100000) %}{% set x = d[t] %}{% endfor %}",
    "long attribute": "{{ range(100000)|map(attribute='real.' * 50000)|list }}",
    "tuple as attribute": "{{ range(100000)|map(attribute=(1,) * 200000)|list }}",
    "search from behind": "{{ ('a' * 1000000).rfind('ab' + 'a' * 100000) }}",
    "strip": "{{ ('b' * 1000000).strip('a' * 100000 + 'b') }}{{ ('b' * 1000000)|trim('a' * 100000 + 'b') }}",
    "keys": "{% set l = range(50000)|list %}{% for i in range(100000) %}{% set x = {}.keys() - l %}{% endfor %}",
    "separators": "{{ range(1000)|list|tojson(separators=('a' * 1000000, ':')) }}",
    "named join": "{{ range(100000)|join(attribute='real', d='a' * 1000000) }}",
    "named replace": "{{ ('a' * 100000)|replace(new='a' * 1000000, old='a') }}",
    "large number": "{{ ('f' * 1000000)|int(base=16) }}",
    "replaced default": "{{ ('a' * 100000)|replace('a', new='a' * 1000000) }}",
    "text in a loop": "{% for i in range(100000) %}" + "x" * 50_000 + "{% endfor %}",
    "text in a macro": "{% macro f() %}"
    + "x" * 50_000
    + "{% endmacro %}{% for i in range(100000) %}{% set y = f() %}{% endfor %}",
    "attributes in a loop": "{% for i in range(100000) %}"
    + "{% set x = i.real.real.real.real.real %}" * 1000
    + "{% endfor %}",
    "too long": "x" * 200_000,
    "braces": "{{" * 40_000,
    "deep parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "deep lists": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "deep conditions": "{% if a %}" * 500 + "{% endif %}" * 500,
    "negations": "{{ " + "not " * 20_000 + "1 }}",
    "long sum": "{{ " + "+".join(["1"] * 20_000) + " }}",
    "long chain": "{{ a" + ".b" * 40_000 + " }}",
    "filters": "{{ 'a'" + "|upper" * 10_000 + " }}",
    "digits": "{{ " + "9" * 90_000 + " }}",
}
#: What is no danger: it gives nothing away.
HARMLESS: Final = {
    "{{ ''.__class__ }}": "",
    "{{ raise_exception.__globals__ }}": "",
    "{{ '{0.__class__}'.format(1) }}": "",
    "{{ 'a'|attr('__class__') }}": "",
    "{{ self._TemplateReference__context }}": "",
    "{% set a = namespace() %}{% set a.a = a %}{{ [a] }}": "[<Namespace>]",
    "{{ ['a']|map(attribute='__class__')|list }}": "[Undefined]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"the chat template (was stopped|does what|fails|refuses|cannot be|has )"):
        BoundedTemplate(HOSTILE[name]).render(VALUES)


@pytest.mark.parametrize("source", HARMLESS)
def test_what_python_keeps_inside_is_undefined(source: str) -> None:
    assert BoundedTemplate(source).render(VALUES) == HARMLESS[source]
