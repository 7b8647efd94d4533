"""What was run, in a few words: the titles of figures and the rows of tables."""

import re


def compact(text):
    """Return a text with its decimal numbers to four digits: gaussian(bandwidth=1.446)."""
    return re.sub(r"\d+\.\d{4,}(e-?\d+)?", lambda found: f"{float(found[0]):.4g}", text)


def batch_title(shared, kernel):
    """Return in words what the lines of one run have in common: data, size, kernel, features."""
    features = shared.get("features") or "pixels"
    on = "" if features == "pixels" else f" on {features}"
    return f"{shared['dataset']['name']}, n = {shared['n_train']:,}, {compact(kernel)}{on}"


def title_of(row):
    """Return in words what was solved."""
    words = [f"{row.dataset['name']}, n = {row.n_train:,}", compact(row.kernel)]
    if row.features != "pixels":
        words.append(row.features)
    if not is_true(row):
        words.append(labels_of(row.corruption))
    return ", ".join(words)


def labels_of(corruption):
    """Return in words what was done to labels and pixels."""
    p, pixels = corruption["labels"], corruption["pixels"]
    labels = "true labels" if p == 0 else "random labels" if p == 1 else f"{100 * p:.3g} % of labels replaced"
    if pixels == "true":
        return labels
    return f"{pixels} pixels" if p == 0 else f"{labels}, {pixels} pixels"


def is_true(row):
    """Whether a Record is one of true labels and true pixels."""
    return row.corruption["labels"] == 0 and row.corruption["pixels"] == "true"
