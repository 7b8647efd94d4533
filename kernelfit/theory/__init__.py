"""The paper's arguments as programs: linear models, expressivity, random features, double descent."""
