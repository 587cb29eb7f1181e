"""What a person reads after runs: figures, tables and a page."""
