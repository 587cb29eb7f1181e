"""What a person reads at the end of a run: figures and a summary."""
