"""The plain service that many start with: a network in a web server, one forward pass for each request.

Run as ``python -m benchmarks.gateway.flask_loop WORKLOAD FOLDER THREADS PORT``. It is Flask's own server: with
``threads`` as ``app.run()`` starts it, a thread for each request; with ``one``, one request after the other.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import torch
from flask import Flask, Response, jsonify, request

from benchmarks.gateway.workloads import WORKLOADS

app = Flask(__name__)


def main(workload: str, folder: str, threads: str, port: str) -> None:
    """Serve."""
    torch.set_num_threads(1)
    model = WORKLOADS[workload].load(Path(folder))

    @app.post("/predict")
    @torch.inference_mode()
    def predict() -> Response:
        """The label and the score of each row."""
        outputs = [{"label": label, "score": score} for label, score in zip(*model(request.get_json()), strict=True)]
        return jsonify(outputs=outputs)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(host="127.0.0.1", port=int(port), threaded=threads == "threads")


if __name__ == "__main__":
    main(*sys.argv[1:])
