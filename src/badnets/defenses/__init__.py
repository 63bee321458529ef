"""What a defender does with a network and clean data: repairs and abstainers, one file per method."""
