"""Inspects ONNX files without running them. It needs no extra package, so that producers can check before sending."""
