"""Images, their targets, and where they come from."""
