"""The client for asyncio: what :class:`~longshore.producers.aio.client.AsyncClient` is made of."""
