"""The plain service that many start with: a network in a web server, one forward pass for each request.

Run as ``python -m benchmarks.gateway.flask_loop PORT``. It is Flask's own server, a thread for each request, as
``app.run()`` starts it; the network has the sizes of the one that the gateway serves.
"""

from __future__ import annotations

import logging
import sys

import torch
from flask import Flask, Response, jsonify, request

from benchmarks.gateway.load import CLASSES, HIDDEN, WIDTH

torch.set_num_threads(1)
model = torch.nn.Sequential(
    torch.nn.Linear(WIDTH, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, CLASSES), torch.nn.Softmax(dim=1)
).eval()
app = Flask(__name__)


@app.post("/predict")
@torch.inference_mode()
def predict() -> Response:
    """The label and the score of each row."""
    scores, labels = model(torch.tensor(request.get_json()["rows"])).max(1)
    outputs = [{"label": label, "score": score} for label, score in zip(labels.tolist(), scores.tolist(), strict=True)]
    return jsonify(outputs=outputs)


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
