"""ASGI middleware, in the order of contract 3.2."""
