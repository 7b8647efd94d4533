"""What is measured of a solution."""
