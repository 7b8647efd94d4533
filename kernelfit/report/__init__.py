"""What a person sees of Records."""
