"""Checking statements against tables without executing them."""

from __future__ import annotations

import re

COPY_IN = re.compile(r"\s*COPY (?P<table>\w+) \((?P<columns>[^)]*)\)\s+FROM STDIN")


def explained(text: str) -> str:
    """A statement for EXPLAIN, which checks all rights and executes nothing; parameters become $1."""
    if copy := COPY_IN.match(text):
        columns = copy["columns"]
        text = f"INSERT INTO {copy['table']} ({columns}) VALUES ({', '.join('NULL' for _ in columns.split(','))})"
    text = text.replace("{name}", "results").replace("{table}", "results").replace("{default}", "results")
    text = re.sub(r"(?<!%)%s", "NULL", text)
    numbers: dict[str, int] = {}

    def parameter(found: re.Match[str]) -> str:
        number = numbers.setdefault(found[1], len(numbers) + 1)
        # Postgres cannot tell the type of this one.
        return f"${number}::bigint" if found[1] == "epochs" else f"${number}"

    text = re.sub(r"%\((\w+)\)[sbt]", parameter, text)
    return f"EXPLAIN (GENERIC_PLAN) {text.replace('%%', '%')}"
