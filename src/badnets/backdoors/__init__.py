"""Triggers, label rules, plans, and what it means that an attack worked."""
