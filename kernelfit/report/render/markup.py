"""HTML and SVG made so that nothing unescaped gets in: every text is escaped unless an element made it."""

import html
import re

_EMPTY = ("meta", "link", "br", "img")  # elements without an end
_NO_CHARACTER = re.compile("[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")


class Markup(str):
    """Text that is HTML already. Only `element` and `join` make it, and the page's own style and script."""


def element(name, /, *content, **attributes):
    """Return <name attributes>content</name>; content are texts, Markup, or None, which is left out.

    An attribute `class_` stands for class, and `aria_label` for aria-label; one that is None or False is left out, one
    that is True has no value.
    """
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{html.escape(_visible(str(value)))}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if name in _EMPTY else f"{start}{join(*content)}</{name}>")


def join(*content):
    """Return texts, escaped, and Markup, as it is, one after the other."""
    return Markup(
        "".join(
            part if isinstance(part, Markup) else html.escape(_visible(str(part)))
            for part in content
            if part is not None
        )
    )


def _visible(text):
    """Replace what is no character of HTML, as control characters and lone surrogates, by U+FFFD."""
    return _NO_CHARACTER.sub("\ufffd", text)


DOCTYPE = Markup("<!doctype html>\n")
