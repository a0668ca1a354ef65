"""The HTTP gateway: what the client can do, for every language.

Routes check who calls, call :class:`~longshore.producers.aio.client.AsyncClient`, and write its answer as JSON. What a
job is, how data is planned and how results are read is not decided here.
"""
