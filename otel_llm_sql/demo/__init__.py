"""A small program that calls an LLM (`app.py`), and a stand-in for the service it calls (`stand_in.py`).

`otel-llm-sql demo` runs the one against the other, so that everything can be seen without a key and without a network.
"""
