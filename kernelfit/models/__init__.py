"""Functions f = sum_i coef_i k(x_i, .): fitting, choosing a bandwidth, predicting, saving."""
