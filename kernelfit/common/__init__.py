"""What every room uses: errors, files, progress, time, random numbers, quantities and texts."""
