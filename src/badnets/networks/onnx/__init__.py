"""ONNX networks: read within bounds, constants folded, made into a torch module, and held against onnxruntime."""
