"""The client over HTTP: what ``Client("https://...")`` is where a service cannot reach Redis and Postgres."""
