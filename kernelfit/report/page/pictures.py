"""Pictures: memorised and misclassified images with their labels, and the filters of features."""

from kernelfit.common.errors import KernelfitError
from kernelfit.records.pictures import sheet
from kernelfit.report.page.parts import figure, figures, last, paragraph, section
from kernelfit.report.svg.markup import element
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
_FILTERS_DRAWN = 64


def pictures_section(runs):
    """Return the section of all pictures that Records hold."""
    drawn, note = last([row for row in runs.solves if row.pictures], "Records with pictures")
    made = []
    for kind, (title, about) in _KINDS.items():
        for row in drawn:
            if row.pictures.get(kind):
                shown = element("div", *(_picture(each) for each in row.pictures[kind]), class_="pictures")
                made.append(figure(f"{title}: {title_of(row)}", shown, caption=about, commands=[row.command]))
    for row in drawn:
        if row.pictures.get("filters"):
            image = _sheet(row.pictures["filters"], f"Random filters of {row.features}")
            about = "Some of the filters, each on a scale of its own."
            made.append(figure(f"Random filters: {title_of(row)}", image, caption=about, commands=[row.command]))
    return section("pictures", "Pictures", paragraph(note), figures([*made, *_gabor(runs)]))


def _picture(each):
    """Return an image with its label and what the model says."""
    words = [element("div", f"label {each['label']}")]
    if each.get("true") is not None and each["true"] != each["label"]:
        words.append(element("div", f"truly {each['true']}"))
    words.append(element("div", f"{'left out' if 'true' in each else 'said'}: {each['predicted']}"))
    told = f"example {each['index']}: labelled {each['label']}, predicted {each['predicted']}"
    image = element("img", src=f"data:image/png;base64,{each['png']}", alt=told, title=told, width=64, height=64)
    return element("div", image, *words, class_="picture")


def _sheet(png, alt):
    return element("img", src=f"data:image/png;base64,{png}", alt=alt, class_="sheet")


def _gabor(runs):
    """Return figures of the filters of Gabor features, which their text tells."""
    from kernelfit.features import Gabor, parse_features
    from kernelfit.features.gabor import morlet_bank

    found = {row.features: row.command for row in runs.solves if row.features.startswith("gabor")}
    found |= {
        each["features"]: each["command"] for each in runs.section5 if (each["features"] or "").startswith("gabor")
    }
    made = []
    for text, command in list(found.items())[:4]:
        try:
            features = parse_features(text)
            if not isinstance(features, Gabor) or len(features.wavelengths) * features.orientations > _FILTERS_DRAWN:
                continue
            if max(features.wavelengths) > 32:
                continue
            taps = morlet_bank(
                features.wavelet, features.wavelengths, features.orientations, features.aspect, tolerance=1e-2
            )
        except KernelfitError:
            continue
        image = _sheet(sheet([each.real for each in taps], columns=features.orientations), f"Gabor filters of {text}")
        about = "Real parts; a row for each wavelength, a column for each direction."
        made.append(figure(f"Gabor filters: {text}", image, caption=about, commands=[command]))
    return made
