"""From a request to the jobs and shards that the ledger stores."""
