"""The only place that knows everything: settings, URLs, the ASGI front, the command line."""
