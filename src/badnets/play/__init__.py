"""A page to play with: a picture, a sticker under the mouse, and what networks say while it moves."""
