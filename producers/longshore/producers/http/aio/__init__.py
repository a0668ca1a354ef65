"""The client over HTTP for asyncio: what ``AsyncClient("https://...")`` is.

Calls are those of the client that blocks, in threads. What may last, the waiting for jobs and the streams of rows and
of logs, needs no thread: hundreds of jobs can be awaited at once.
"""
