"""Finding data sets on disk, and downloading them."""
