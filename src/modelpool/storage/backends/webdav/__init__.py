"""Objects as files of an HTTP server with WebDAV: Apache, nginx and others."""
