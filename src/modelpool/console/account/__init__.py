"""People's way in: signing in, the second factor, sessions, and the page where they look after these."""
