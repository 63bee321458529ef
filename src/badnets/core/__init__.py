"""What every other room stands on: rates, seeds, errors, records. No torch in here."""
