"""Commands of the chain of trust: what may be opened, who signed it, what is said of it, where it comes from."""
