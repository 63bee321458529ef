"""Attacks that are more than poisoned rows."""
