"""Jobs that generate text: language models, run row by row on an engine that many jobs share."""
