"""One training in several processes of one worker, started by torch's elastic launcher.

What the worker's child and these processes tell each other goes through files in a private folder: ``order.json`` to
them, and back ``events`` (what to report), ``failures/``, and ``result.json`` with ``weights.safetensors``. Nothing of
it is pickled. All of them end when the child's end of their standard input is closed, however it is.
"""
