"""One training in several processes of one worker, started by torch's elastic launcher.

What the worker's child and these processes tell each other goes through files in a private folder: ``launch.json`` to
them, and back ``progress``, ``failures/``, and ``result.json`` with ``weights.safetensors``. Nothing of it is pickled.
Metrics and checkpoints are rank 0's to write. All of them end when the child's end of their standard input is closed.
"""
