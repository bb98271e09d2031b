"""Objects in a bucket of any server that speaks the S3 API."""
