"""The other sides of benchmarks, which run in processes or environments of their own."""
