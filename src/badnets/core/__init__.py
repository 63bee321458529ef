"""What every other room stands on: rates, seeds, errors, files. No torch in here."""

VERSION = "0.3.0"
"""Of the package, as pyproject.toml has it; records keep the one that wrote them."""
