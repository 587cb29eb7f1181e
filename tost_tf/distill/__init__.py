"""KD tickets: a dense teacher's soft labels."""
