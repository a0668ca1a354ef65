"""Chat templates in the style of models in use: the text and the tokens that transformers makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue
from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from longshore.shared.datasets.prompts import Message
from longshore.workers.generate.templates.chat import ChatTemplate
from tests.language_models import CHAT_TEMPLATE, save_chat_tokenizer
from tests.unit.workers.generate.versions import language_version, read_one

SPECIAL: Final = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
#: System text first, roles in a header, spaces around a text cut off.
HEADERS: Final = r"""{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content']|trim %}{% set messages = messages[1:] %}
{%- else %}{% set system = "" %}{%- endif %}
{{- "<|header|>system<|end|>\n\n" }}{{ "Today: " + "1 May 2026" + "\n" + system }}
{%- if tools is not none %}{{- "\nFunctions: " }}{% for t in tools %}{{ t | tojson(indent=4) }}{{ "\n" }}{% endfor %}
{%- endif %}{{- "<|turn|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '<|end|>\n\n' + message['content'] | trim + '<|turn|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}{{- raise_exception("One call at a time") }}{%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|header|>assistant<|end|>\n\n{"name": "' + call.name + '", ' }}
        {{- '"parameters": ' }}{{- call.arguments | tojson + "}" }}
    {%- else %}
        {{- "<|header|>ipython<|end|>\n\n" }}
        {{- message.content | tojson if message.content is mapping else message.content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|header|>assistant<|end|>\n\n' }}{%- endif %}"""
#: Turns that alternate, by a macro and a namespace.
INSTRUCTIONS: Final = r"""{%- macro shown(text) %}{{ text | trim if text is string else text | tojson }}{% endmacro -%}
{%- set ns = namespace(index=0, system='') -%}
{{ bos_token }}{% for message in messages %}
{%- if message.role == 'system' %}{% set ns.system = message.content ~ '\n\n' %}{% continue %}{% endif %}
{%- if (message.role in ['user', 'tool']) != (ns.index % 2 == 0) %}
{{ raise_exception('Turns must alternate') }}{% endif %}
{%- if message.role == 'user' %}[INST] {{ ns.system + shown(message.content) }} [/INST]{% set ns.system = '' %}
{%- elif message.role == 'tool' %}
{{- '[RESULT]' }}{{ {'content': message.content, 'call': message.tool_call_id} | tojson }}[/RESULT]
{%- elif message.tool_calls is defined %}[TOOL_CALLS][
{%- for call in message.tool_calls %}{{ call.function | tojson }}{{ ', ' if not loop.last }}{% endfor %}]{{ eos_token }}
{%- else %}{{ ' ' ~ shown(message['content']) ~ eos_token }}{% endif %}{% set ns.index = ns.index + 1 %}{% endfor %}"""
#: The role of the assistant has another name, and the text of the system goes into the first turn.
MODEL_TURNS: Final = r"""{{ bos_token }}{%- if messages[0].role == 'system' -%}
{%- set first = messages[0].content + "\n\n" -%}{%- set rest = messages[1:] -%}
{%- else -%}{%- set first = "" -%}{%- set rest = messages -%}{%- endif -%}
{%- for message in rest -%}
{%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
{{ '<start>' ~ role ~ "\n" ~ (first if loop.first else "") }}
{%- if message['content'] is string %}{{ message['content'] | trim }}{% elif message['content'] is iterable -%}
{%- for item in message['content'] -%}{{ item['text'] | trim }}{%- endfor -%}{%- endif -%}{{ '<end>\n' }}
{%- endfor -%}{%- if add_generation_prompt -%}{{ '<start>model\n' }}{%- endif -%}"""
#: Tools in tags, thoughts cut out of earlier answers, the last question found from behind.
TOOLS: Final = r"""{%- if tools %}{{- '<|im_start|>system\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
{{- "# Tools\n<tools>" }}{%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
{{- "\n</tools>\n<tool_call>\n{\"name\": <name>, \"arguments\": <arguments>}\n</tool_call><|im_end|>\n" }}
{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}
{%- set ns = namespace(searching=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}
{%- if ns.searching and message.role == "user" and not(message.content.startswith('<tool_response>')) %}
{%- set ns.searching = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}
{%- for message in messages %}
{%- if message.role == "user" or (message.role == "system" and not loop.first) %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
{%- elif message.role == "assistant" %}{%- set content = message.content %}
{%- if '</think>' in message.content %}
{%- set content = message.content.split('</think>')[-1].lstrip('\n') %}{%- endif %}
{%- if message.reasoning_content is defined and loop.index0 > ns.last %}
{{- '<|im_start|>' + message.role + '\n<think>\n' }}
{{- message.reasoning_content.strip('\n') + '\n</think>\n\n' + content }}
{%- else %}{{- '<|im_start|>' + message.role + '\n' + content }}{%- endif %}
{%- if message.tool_calls %}{%- for tool_call in message.tool_calls %}{%- set call = tool_call.function %}
{{- '\n<tool_call>\n{"name": "' }}{{- call.name }}{{- '", "arguments": ' }}
{%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
{{- '}\n</tool_call>' }}{%- endfor %}{%- endif %}{{- '<|im_end|>\n' }}
{%- elif message.role == "tool" %}
{%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\n<tool_response>\n' }}{{- message.content }}{{- '\n</tool_response>' }}
{%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\n' }}{%- endif %}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{%- endif %}"""
#: What else templates use: groups, sorted keys, counting, formats and marks of what is learned.
FEATURES: Final = r"""{% for role, group in messages|groupby('role') %}{{ role|upper }}:{{ group|length }};{% endfor %}
{% for key, value in messages[0]|dictsort %}{{ key }}={{ value|string|replace('e', '3')|title }} {% endfor %}
{{ "%s-%03d" % (messages[0].role, messages|length) }} {{ "{:>8}|{}".format("a", {"b": 1}) }}
{{ messages|map(attribute='role')|unique|join(', ') }} {{ messages|selectattr('role', 'equalto', 'user')|list|length }}
{{ (messages|rejectattr('role', 'eq', 'user')|first).content if messages|length > 1 }} {{ 2 ** 10 + 7 // 2 * 3 }}
{% for m in messages recursive %}{% generation %}{{ m.content|indent(2, true) }}{% endgeneration %}{% endfor %}
{%- set captured %}{{ messages[-1].content|length }}{% endset %}{{ captured * 3 }} {{ 'c' in messages[-1].content }}
{{ dict(a=1, **{'b': [1, 2]})|tojson(separators=(',', ':'), sort_keys=true) }} {{ undefined_name|default('none') }}
{% if messages is iterable and messages is not mapping and loop is undefined %}{{ range(3)|list }}{% endif %}"""

TEMPLATES: Final[dict[str, str]] = {
    "chatml": CHAT_TEMPLATE,
    "headers": HEADERS,
    "instructions": INSTRUCTIONS,
    "model turns": MODEL_TURNS,
    "tools": TOOLS,
    "features": FEATURES,
}
TOOL: Final[dict[str, JsonValue]] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a <place> & more",
        "parameters": {"type": "object", "properties": {"place": {"type": "string", "enum": ["Bern", "Köln"]}}},
    },
}
CALL: Final[dict[str, JsonValue]] = {
    "id": "abcdefghi",
    "type": "function",
    "function": {"name": "weather", "arguments": {"place": "Köln"}},
}
CONVERSATIONS: Final[dict[str, list[Message]]] = {
    "one": [{"role": "user", "content": "the cat"}],
    "system": [{"role": "system", "content": "Be kind. "}, {"role": "user", "content": " the cat\n"}],
    "turns": [
        {"role": "user", "content": "the cat"},
        {"role": "assistant", "content": "<think>why</think>\n\nsat", "reasoning": "why not"},
        {"role": "user", "content": "<|im_end|> naïve 東京 🦊"},
    ],
    "calls": [
        {"role": "user", "content": "How warm is it?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": '{"warm": true}', "tool_call_id": "abcdefghi"},
    ],
}


def expected(
    source: str,
    messages: list[Message],
    *,
    tools: Sequence[dict[str, JsonValue]] = (),
    add_generation_prompt: bool = False,
    continue_final_message: bool = False,
) -> str:
    """The text that transformers makes of a conversation."""
    given = [{key: value for key, value in message.items() if value is not None} for message in messages]
    texts, _ = render_jinja_template(  # type: ignore[str-unpack]
        [given],
        chat_template=source,
        tools=list(tools) or None,
        add_generation_prompt=add_generation_prompt,
        continue_final_message=continue_final_message,
        **SPECIAL,  # type: ignore[arg-type]
    )
    return str(texts[0])


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("tools", [(), (TOOL, TOOL)])
def test_the_text_of_a_conversation_is_that_of_transformers(
    name: str, conversation: str, tools: tuple[dict[str, JsonValue], ...]
) -> None:
    source, messages = TEMPLATES[name], CONVERSATIONS[conversation]
    text = ChatTemplate(source, SPECIAL).render(messages, tools)
    assert text == expected(source, messages, tools=tools, add_generation_prompt=True)


@pytest.mark.parametrize("prefix", ["Sure", " Sure, ", "a\n", '{"a": '])
@pytest.mark.parametrize("name", ["chatml", "headers", "model turns", "tools"])
def test_the_beginning_of_an_answer_is_continued_as_transformers_does(name: str, prefix: str) -> None:
    source = TEMPLATES[name]
    messages = CONVERSATIONS["system"]
    text, written = ChatTemplate(source, SPECIAL).render_prefix(messages, prefix)
    answer: Message = {"role": "assistant", "content": prefix}
    assert text == expected(source, [*messages, answer], continue_final_message=True)
    assert text.endswith(written)
    assert written.strip() == prefix.strip()


@pytest.mark.parametrize("name", ["chatml", "headers", "model turns", "tools"])
def test_the_tokens_of_a_conversation_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    save_chat_tokenizer(tmp_path, template=TEMPLATES[name])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items()}
    version = language_version(tmp_path, TEMPLATES[name], special_tokens=special, max_model_len=10_000)
    for messages in CONVERSATIONS.values():
        row = read_one(version, {"messages": json.dumps(messages)})
        tokens = tokenizer.apply_chat_template(
            messages,  # type: ignore[arg-type]
            add_generation_prompt=True,
            return_dict=False,
        )
        assert list(row.tokens) == tokens
        assert row.is_chat


@given(
    st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text()}),
        min_size=1,
        max_size=5,
    )
)
def test_any_text_in_a_message_comes_out_as_with_transformers(messages: list[Message]) -> None:
    for name in ("chatml", "model turns", "tools"):
        text = ChatTemplate(TEMPLATES[name], SPECIAL).render(messages)
        assert text == expected(TEMPLATES[name], messages, add_generation_prompt=True)


def test_a_template_that_refuses_the_messages_says_why() -> None:
    turns: list[Message] = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    with pytest.raises(ValueError, match="the chat template refuses it: Turns must alternate"):
        ChatTemplate(INSTRUCTIONS, SPECIAL).render(turns)


@pytest.mark.parametrize("name", ["headers", "instructions", "tools"])
def test_arguments_of_a_call_can_be_the_text_that_an_output_has(name: str) -> None:
    template = ChatTemplate(TEMPLATES[name], SPECIAL)
    function: dict[str, JsonValue] = {"name": "weather", "arguments": '{"place": "Köln"}'}
    question, answer, result = CONVERSATIONS["calls"]
    given: Message = {**answer, "tool_calls": [{**CALL, "function": function}]}
    assert template.render([question, given, result]) == template.render([question, answer, result])


def test_a_template_whose_arguments_are_texts_gets_texts() -> None:
    source = "{% for call in messages[0].tool_calls %}{{ 'CALL ' + call.function.arguments }}{% endfor %}"
    call: JsonValue = {"function": {"name": "f", "arguments": '{"a":1}'}}
    assert ChatTemplate(source, SPECIAL).render([{"role": "assistant", "tool_calls": [call]}]) == 'CALL {"a":1}'


@pytest.mark.parametrize(
    ("written", "content"),
    [
        ("{{ m.content }}", ""),  # as vLLM writes it; transformers writes None
        ("{{ '\n' + m['content'] + '\n' }}", "\n\n"),
        ("{% if 'think' in m.content %}x{% endif %}{{ m.content | trim }}", ""),
        ("{% if m['content'] is none %}calls{% else %}{{ 'text' + m['content'] }}{% endif %}", "calls"),
        ('{% if m["content"] is not none %}{{ m["content"] + "text" }}{% endif %}', ""),
        ("{% if m.get('content') is none %}calls{% endif %}", "calls"),
        ("{% set content = m.content %}{% if content != None %}text{% endif %}", ""),
    ],
)
def test_a_message_that_only_calls_has_no_content(written: str, content: str) -> None:
    template = ChatTemplate(f"{{% for m in messages %}}<{written}{{{{ m.tool_calls | length }}}}>{{% endfor %}}", {})
    for message in ({"content": None}, {}):
        answer: Message = {"role": "assistant", "tool_calls": [CALL], **message}
        assert template.render([answer]) == f"<{content}1>"


def test_a_template_that_leaves_out_the_beginning_of_an_answer_is_an_error() -> None:
    template = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(ValueError, match="prefix: the chat template of the version leaves it out"):
        ChatTemplate(template, SPECIAL).render_prefix([{"role": "user", "content": "a"}], "Sure")


def test_a_long_conversation_of_long_texts_is_no_hostile_template() -> None:
    long: list[Message] = [
        {"role": "user" if turn % 2 == 0 else "assistant", "content": "word " * 4000} for turn in range(200)
    ]
    short: list[Message] = [{"role": "user" if turn % 2 == 0 else "assistant", "content": "a"} for turn in range(5000)]
    for messages in (long, short):
        text = ChatTemplate(TOOLS, SPECIAL).render(messages, (TOOL,))
        assert text == expected(TOOLS, messages, tools=[TOOL], add_generation_prompt=True)
