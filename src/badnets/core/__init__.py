"""What every other room stands on: rates, seeds, errors, files. No torch in here."""
