"""Network files, ours and those of other programs: safe open and save."""
