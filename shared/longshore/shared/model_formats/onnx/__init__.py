"""What can be said of an ONNX file without running it. Needs no package: producers look before they send."""
