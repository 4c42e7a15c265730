"""The viewer as a page: the server, who may ask it, and its API."""
