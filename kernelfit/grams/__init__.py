"""Points, their inner products, and Gram matrices known through their blocks."""
