"""What requests and answers hold, one file per noun."""
