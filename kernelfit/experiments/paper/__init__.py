"""The paper beside ours: section 5, table 1, figures 1 and 2, in one framework."""
