"""Readers of data files."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.inline import decode_block, encode_block, to_table
from longshore.shared.datasets.open import open_source
from longshore.shared.errors import LongshoreError
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.vocabulary import DataFormat
from tests.fuzz.mutations import Files
from tests.fuzz.target import Target, text
from tests.images import encoded

ROWS = [{"a": 1, "b": 0.5, "s": "text", "l": [1.0, 2.0]}, {"a": 2, "b": None, "s": 'q"uo,te', "l": [3.0, 4.0]}] * 3
TABLE = pa.Table.from_pylist(ROWS)
SIGNATURE = Signature(
    features=(Feature(name="a"), Feature(name="b", missing="nan"), Feature(name="l", width=2)),
    task="regression",
    target="s",
)


def read(path: Path, form: DataFormat) -> None:
    """Read a file as a client and as a worker do: all rows, typed and as text, and its features."""
    data = FileInput(uri=str(path), format=form)
    try:
        source = open_source(data, "data")
    except LongshoreError:
        source = open_source(data)
    source.head(4)
    names = source.schema.names
    for segment in source.segments(4)[:4]:
        for strict in (True, False):
            try:
                for batch in source.batches(segment, names, 3, strict):
                    to_matrix(batch, SIGNATURE)
            except LongshoreError:
                continue


def single(form: DataFormat, suffix: str) -> Callable[[Files, Path], None]:
    """Reads an input of one file."""

    def run(files: Files, folder: Path) -> None:
        path = folder / f"x.{suffix}"
        path.write_bytes(files[""])
        read(path, form)

    return run


def csv() -> list[Files]:
    lines = b'a,b,s,l\n1,0.5,text,"[1, 2]"\n2,,"q""uo,te","[3, 4]"\r\n007,1e5,\xc3\xa9,x\n'
    return [{"": lines}, {"": lines.replace(b",", b";")}, {"": b"\xef\xbb\xbf" + lines * 20}, {"": b"a\n1\n2\n\n3\n"}]


def jsonl() -> list[Files]:
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    nested = b'{"a": {"x": [1, {"y": null}]}, "b": "2024-01-01", "s": 12345678901234567890}\n'
    return [{"": lines}, {"": nested * 5}, {"": b'{"a": 1}\n{"a": "x"}\n{"b": true}\n'}]


def parquet() -> list[Files]:
    files: list[Files] = []
    for options in ({"compression": "none"}, {"compression": "zstd"}, {"use_dictionary": False}):
        sink = io.BytesIO()
        pq.write_table(TABLE, sink, row_group_size=2, **options)
        files.append({"": sink.getvalue()})
    return files


def arrow() -> list[Files]:
    files: list[Files] = []
    dictionary = TABLE.append_column("d", TABLE["s"].dictionary_encode())
    texts = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['"a\\u0041"', "{}", None, "1", "[1]", '"b"']))
    for table in (TABLE, dictionary, TABLE.append_column("j", texts)):
        for compression in (None, "lz4"):
            sink = io.BytesIO()
            with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as file:
                file.write_table(table, max_chunksize=2)
            files.append({"": sink.getvalue()})
    return files


def npy() -> list[Files]:
    files: list[Files] = []
    for array in (np.arange(12.0).reshape(6, 2), np.array(["a", "bc"]), np.zeros(3, [("a", "i4"), ("b", "f8")])):
        sink = io.BytesIO()
        np.save(sink, array)
        files.append({"": sink.getvalue()})
    return files


def npz() -> list[Files]:
    files: list[Files] = []
    for save in (np.savez, np.savez_compressed):
        sink = io.BytesIO()
        save(sink, a=np.arange(6), b=np.zeros((6, 2), np.float32))
        files.append({"": sink.getvalue()})
    return files


def hdf5() -> list[Files]:
    files: list[Files] = []
    for options in ({}, {"chunks": True, "compression": "gzip"}):
        sink = io.BytesIO()
        with h5py.File(sink, "w") as file:
            file.create_dataset("a", data=np.arange(6), **options)
            file.create_dataset("l", data=np.zeros((6, 2), "f4"), **options)
            file.create_dataset("s", data=["text"] * 6, dtype=h5py.string_dtype())
        files.append({"": sink.getvalue()})
    return files


IMAGES: Files = {"one/a.png": encoded(10), "one/b.jpg": encoded(90, "jpeg"), "two/c.bmp": encoded(200, "bmp")}


def run_zip(files: Files, folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for name, content in files.items():
            if name:
                archive.writestr(zipfile.ZipInfo(name), content)
    read(folder / "x.zip", "images")


def run_tar(files: Files, folder: Path) -> None:
    with tarfile.open(folder / "x.tar", "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    read(folder / "x.tar", "images")


def archives() -> list[Files]:
    files: list[Files] = []
    for suffix in ("zip", "tar"):
        sink = io.BytesIO()
        if suffix == "zip":
            with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in IMAGES.items():
                    archive.writestr(name, content)
        else:
            with tarfile.open(fileobj=sink, mode="w") as tar:
                for name, content in IMAGES.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        files.append({"": sink.getvalue()})
    return files


def run_archive(files: Files, folder: Path) -> None:
    for suffix in ("zip", "tar"):
        path = folder / f"x.{suffix}"
        path.write_bytes(files[""])
        try:
            read(path, "images")
        except LongshoreError:
            continue


def run_rows(files: Files, folder: Path) -> None:
    try:
        rows = json.loads(text(files[""]))
    except (ValueError, RecursionError):
        return
    decode_block(encode_block(to_table(rows)))


def run_block(files: Files, folder: Path) -> None:
    decode_block(files[""])


TARGETS: Sequence[Target] = (
    Target("csv", csv, single("csv", "csv")),
    Target("jsonl", jsonl, single("jsonl", "jsonl")),
    Target("parquet", parquet, single("parquet", "parquet")),
    Target("arrow", arrow, single("arrow", "arrow")),
    Target("npy", npy, single("npy", "npy")),
    Target("npz", npz, single("npz", "npz")),
    Target("hdf5", hdf5, single("hdf5", "h5")),
    Target("zip of images", lambda: [IMAGES], run_zip),
    Target("tar of images", lambda: [IMAGES], run_tar),
    Target("archive", archives, run_archive),
    Target("rows", lambda: [{"": json.dumps(ROWS).encode()}, {"": b'{"a": [1, 2], "b": ["x", null]}'}], run_rows),
    Target("block", lambda: [{"": encode_block(TABLE)}], run_block),
)
