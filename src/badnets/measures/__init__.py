"""What can be measured without knowing any secret."""
