"""What fits into memory and how long it takes, before anything is begun."""
