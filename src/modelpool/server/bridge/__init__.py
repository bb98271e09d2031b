"""From ASGI to Django: limits, bodies, threads."""
