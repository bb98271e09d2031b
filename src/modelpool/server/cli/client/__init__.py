"""The commands of a client: they speak to a server over HTTP and import nothing of Django."""
