"""One training in several processes of one worker, started by torch's elastic launcher.

The worker's child and these processes exchange files in a private folder: the child writes ``launch.json``, and the
processes write ``progress``, ``failures/``, and ``result.json`` with ``weights.safetensors``. Nothing is pickled. Only
rank 0 writes metrics and checkpoints. All processes end when the child closes its end of their standard input.
"""
