"""Send many requests as one batch, with the official package for OpenAI's API, to models of your own.

Set OPENAI_BASE_URL to the gateway's URL with /v1, such as http://127.0.0.1:8080/v1, and OPENAI_API_KEY to a token of
`longshore tokens create`.
"""

from __future__ import annotations

import argparse
import json
import time

from openai import OpenAI


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a language model, such as chat or chat@production")
    parser.add_argument("prompts", nargs="+", help="questions to it")
    options = parser.parse_args()

    requests = [
        {
            "custom_id": f"question-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": options.model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 16},
        }
        for number, prompt in enumerate(options.prompts)
    ]
    lines = "\n".join(json.dumps(request) for request in requests)

    with OpenAI() as client:
        file = client.files.create(file=("questions.jsonl", lines.encode()), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        while batch.status not in ("completed", "failed", "expired", "cancelled"):
            time.sleep(0.5)
            batch = client.batches.retrieve(batch.id)
        print(f"{batch.status}: {batch.request_counts}")
        if batch.output_file_id is not None:
            for line in client.files.content(batch.output_file_id).text.splitlines():
                answer = json.loads(line)
                print(answer["custom_id"], answer["response"]["body"]["choices"][0]["message"]["content"])
        if batch.error_file_id is not None:
            print(client.files.content(batch.error_file_id).text)


if __name__ == "__main__":
    main()
