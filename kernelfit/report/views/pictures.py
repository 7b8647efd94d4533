"""Pictures: memorised and misclassified images with their labels, and the filters of features."""

from kernelfit.common.errors import KernelfitError
from kernelfit.records.pictures import sheet
from kernelfit.report.section import Picture, Pictures, Section, last
from kernelfit.report.words import title_of

_KINDS = {
    "misclassified": (
        "Misclassified test images",
        "The largest errors: test images whose own class is furthest behind.",
    ),
    "memorised": (
        "Memorised training images",
        "Right only because they were trained on: left out, the model says another class. The first are those whose "
        "own label changes most.",
    ),
}
_LARGEST = 32  # pixels of a wavelength, and
_FILTERS = 64  # how many filters are drawn at most


def section(records):
    """Return all pictures that the last solves hold."""
    drawn, note = last([record for record in records.of("solve") if record.results.pictures], "solves with pictures")
    parts = []
    for kind, (title, about) in _KINDS.items():
        for record in drawn:
            shown = tuple(map(_picture, record.results.pictures.get(kind) or ()))
            what = {"title": f"{title}: {title_of(record)}", "caption": about, "command": record.command}
            parts += [Pictures(pictures=shown, **what)] if shown else []
    for record in drawn:
        if png := record.results.pictures.get("filters"):
            about = "Some of the filters, each on a scale of its own."
            parts.append(_sheet(f"Random filters: {title_of(record)}", png, about, record.command))
    return Section("pictures", "Pictures", (note, *parts, *_gabor(records)))


def _picture(each):
    """Return an image with its label and what the model says."""
    lines = [f"label {each['label']}"]
    lines += [f"truly {each['true']}"] if each.get("true", each["label"]) != each["label"] else []
    lines.append(f"{'left out' if 'true' in each else 'said'}: {each['predicted']}")
    told = f"example {each['index']}: labelled {each['label']}, predicted {each['predicted']}"
    return Picture(each["png"], told, tuple(lines))


def _sheet(title, png, caption, command):
    return Pictures(title=title, pictures=(Picture(png, title),), caption=caption, command=command)


def _gabor(records):
    """Return the filters of Gabor features, which their text tells."""
    from kernelfit.features import parse_features
    from kernelfit.features.gabor import Gabor, morlet_bank

    used = [*records.of("solve"), *records.latest("section5")]
    found = {each.results.features: each.command for each in used if (each.results.features or "").startswith("gabor")}
    made = []
    for text, command in list(found.items())[:4]:
        try:
            features = parse_features(text)
            if not isinstance(features, Gabor) or len(features.wavelengths) * features.orientations > _FILTERS:
                continue
            if max(features.wavelengths) > _LARGEST:
                continue
            taps = morlet_bank(
                features.wavelet, features.wavelengths, features.orientations, features.aspect, tolerance=1e-2
            )
        except KernelfitError:
            continue
        png = sheet([each.real for each in taps], columns=features.orientations)
        about = "Real parts; a row for each wavelength, a column for each direction."
        made.append(_sheet(f"Gabor filters: {text}", png, about, command))
    return made
