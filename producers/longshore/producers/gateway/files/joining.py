"""The parts of an upload as one file. Nothing of it is held in memory but a block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longshore.producers.aio.threads import Threads
from longshore.producers.gateway.openai.errors import invalid
from longshore.shared.ledger.gateway.uploads import PartRecord
from longshore.shared.store.blobs import BlobWriter
from longshore.shared.store.manifest import Blob
from longshore.shared.store.store import Store


@dataclass(frozen=True)
class ExpectedDigests:
    """What a caller says of the content, in hexadecimal digits; ``None`` for nothing."""

    md5: str | None = None
    sha256: str | None = None


async def join(parts: Sequence[PartRecord], store: Store, threads: Threads, expected: ExpectedDigests) -> Blob:
    """Store the bytes of parts, in their order, as one blob.

    :raises Problem: 400; the content has another digest. Nothing was stored.
    :raises CorruptBlob: the bytes of a part are missing in the store, or damaged.
    :raises ServiceUnavailable: the store cannot be read or written.
    """
    md5 = None if expected.md5 is None else hashlib.md5(usedforsecurity=False)
    writer = await threads.call(store.new_blob)

    def copy(blocks: Iterator[bytes]) -> bool:
        block = next(blocks, b"")
        if block:
            writer.write(block)
            if md5 is not None:
                md5.update(block)
        return bool(block)

    try:
        for part in parts:
            blocks = store.blob_blocks(part.blob)
            while await threads.call(copy, blocks):
                pass
        if md5 is not None:
            check_digest("md5", expected.md5, md5.hexdigest())
        check_sha256(expected.sha256, writer)
        return await threads.call(writer.commit)
    finally:
        await threads.call(writer.discard)


def check_sha256(expected: str | None, writer: BlobWriter) -> None:
    """Check bytes that are about to be stored.

    :param expected: in hexadecimal digits; ``None`` for any.
    :raises Problem: 400; they have another digest.
    """
    check_digest("sha256", expected, writer.digest.removeprefix("sha256:"))


def check_digest(field: str, expected: str | None, found: str) -> None:
    """:raises Problem: 400; a digest is not the expected one."""
    if expected is not None and expected.lower() != found:
        raise invalid(
            field, f"the bytes that have come have {found}, not {expected.lower()}; send them again", "digest_mismatch"
        )
