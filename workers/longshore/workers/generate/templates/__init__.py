"""Chat templates: programs of a version's folder, rendered in a sandbox that also bounds their time and memory."""
