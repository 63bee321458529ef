"""Training: knows data and networks, has never heard of poison."""
