"""What makes text, SVG, HTML or a file of the neutral tables and figures: one module for each of these."""
