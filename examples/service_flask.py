"""The service of ``service_fastapi.py`` with Flask, under gunicorn:

    MODEL=digits@production gunicorn --workers 4 --threads 8 --preload examples.service_flask:app

The client is made before gunicorn forks. Its children share nothing with it: each opens its own connections.
"""

from __future__ import annotations

import os

import numpy as np
from flask import Flask, Response, jsonify, request

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, LongshoreError, QueueFull, ServiceUnavailable, WaitTimeout

MODEL = os.environ.get("MODEL", "digits@production")
#: Seconds that a caller waits at most.
PATIENCE_S = float(os.environ.get("PATIENCE", "10"))

client = Client(producer="web")
client.warm_up(MODEL)
app = Flask(__name__)


@app.post("/predict")
def predict() -> tuple[Response, int]:
    """One output for each row; or status 202 and the id of the job, if it takes too long."""
    job = client.infer(MODEL, np.asarray(request.get_json(), np.float32), timeout=60)
    try:
        job.wait(PATIENCE_S, progress=False)
    except WaitTimeout:
        return jsonify(job=str(job.id)), 202
    return jsonify(job=str(job.id), outputs=[row.output for row in job.stream()]), 200


@app.errorhandler(LongshoreError)
def refuse(error: LongshoreError) -> tuple[Response, int, dict[str, str]]:
    """What is wrong, with the status that says whose turn it is."""
    if isinstance(error, QueueFull):
        return jsonify(error=str(error)), 429, {"Retry-After": "5"}
    if isinstance(error, ServiceUnavailable):
        return jsonify(error=str(error)), 503, {"Retry-After": "5"}
    return jsonify(error=str(error)), 422 if isinstance(error, InvalidInput) else 500, {}
