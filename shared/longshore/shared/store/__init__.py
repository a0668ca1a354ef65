"""The versioned model store: manifests over content-addressed blobs, on a local folder or any fsspec URL."""
