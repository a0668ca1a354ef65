"""A real server of S3's interface, and the variables by which drivers find it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import fsspec
import pytest
import s3fs
from fsspec.asyn import get_loop
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

#: What no log and no error may show.
SECRET = "s3cr3t-that-nobody-may-see"


@contextmanager
def s3_server() -> Iterator[Mapping[str, str]]:
    """Start a server, and yield the variables its users set, which are set in this process too.

    fsspec keeps the file system it made for ``s3://``, with the address it had then. It is forgotten with the server,
    or the next one would never be asked.
    """
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        files = fsspec.filesystem("s3")
        try:
            yield environment
        finally:
            s3fs.S3FileSystem.close_session(get_loop(), files.s3)
            s3fs.S3FileSystem.clear_instance_cache()
            server.stop()
