"""Charts as SVG of our own, for the report: see chart and bars."""
