"""The HTTP gateway under load; see :mod:`benchmarks.gateway.__main__`."""
