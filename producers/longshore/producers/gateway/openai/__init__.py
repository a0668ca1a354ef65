"""OpenAI's API over the client: the bodies of its requests and answers, and its endpoints."""
