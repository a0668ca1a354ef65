"""Many callers at once: ``python -m benchmarks.gateway.load URL REQUESTS CALLERS SECONDS [TOKEN]``.

``REQUESTS`` is a folder as :mod:`benchmarks.gateway.workloads` prepares it. Each caller has a connection and sends its
next request when the last one is answered. It prints the counts as JSON.
The client is as simple as HTTP allows, so that it leaves the processors to the server; it is a process of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np

#: Seconds after which a request counts as lost.
LOST_S: Final = 60.0
_LABEL: Final = re.compile(rb'"label": ?"?([^,"}]*)')


@dataclass
class Load:
    """What the callers have seen."""

    statuses: Counter[int] = field(default_factory=Counter)
    #: Requests without an answer.
    lost: int = 0
    #: Answers without the right label.
    wrong: int = 0
    #: Refusals that do not say when to try again. Callers wait as long as the others say.
    without_retry_after: int = 0
    #: Outputs that came before the time was over; callers then wait for the rest.
    in_time: int = 0
    #: Seconds of each request that was answered with outputs.
    times: list[float] = field(default_factory=list)


async def call(url: str, bodies: Sequence[tuple[str, str]], callers: int, seconds: float, token: str) -> Load:
    """Ask with so many callers for some seconds, and at least once each."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    requests = [(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode(), label.encode()) for body, label in bodies]
    turns = itertools.cycle(requests)
    load = Load()
    end = time.perf_counter() + seconds

    async def caller() -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            start = time.perf_counter()
            try:
                async with asyncio.timeout(LOST_S):
                    connection = connection or await asyncio.open_connection(parts.hostname, parts.port)
                    keeps, retry_after = await _ask(load, *connection, *next(turns))
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                load.lost += 1
                keeps = False
            else:
                if retry_after is None:
                    load.times.append(time.perf_counter() - start)
                    load.in_time += start + load.times[-1] <= end
                else:
                    await asyncio.sleep(retry_after)
            if not keeps and connection is not None:
                connection[1].close()
                connection = None
            if time.perf_counter() > end:
                return

    await asyncio.gather(*(caller() for _ in range(callers)))
    return load


async def _ask(
    load: Load, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, label: bytes
) -> tuple[bool, float | None]:
    """One request. Returns whether the server keeps the connection, and seconds to wait if it has refused."""
    writer.write(request)
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    status = int(lines[0].split()[1])
    headers = dict(line.split(b": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(headers[b"content-length"]))
    load.statuses[status] += 1
    if status == 200:
        match = _LABEL.search(body)
        load.wrong += match is None or match[1] != (label or match[1])
    elif status in (429, 503):
        load.without_retry_after += b"retry-after" not in headers
    keeps = not (lines[0].startswith(b"http/1.0") or headers.get(b"connection") == b"close")
    return keeps, None if status == 200 else float(headers.get(b"retry-after", 0))


def main() -> None:
    """Run it."""
    url, folder, callers, seconds, *token = sys.argv[1:]
    bodies: list[tuple[str, str]] = json.loads((Path(folder) / "requests.json").read_text())
    load = asyncio.run(call(url, bodies, int(callers), float(seconds), token[0] if token else ""))
    times = load.times or [float("nan")]
    summary = {**vars(load), "p50": float(np.median(times)), "p99": float(np.percentile(times, 99))}
    del summary["times"]
    sys.stdout.write(json.dumps(summary))


if __name__ == "__main__":
    main()
