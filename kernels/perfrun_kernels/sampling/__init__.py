"""Measuring how fast a large language model samples tokens: built in, or behind an OpenAI-compatible server."""
