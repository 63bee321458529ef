"""What is known of one network: its seals, its card, its bill of materials. No torch in here."""
