"""Lets the parser of Google-style docstrings read those of this library as they are meant."""

import re

import griffe


class Docstrings(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Shows `Example:` sections as code, and `Returns:` with the type of the signature.

        Without it, the parser takes what stands before a colon in the text for the type.
        """
        if not obj.docstring:
            return
        text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
        if obj.is_function and obj.returns:
            text = re.sub(r"\nReturns:\n +", lambda match: f"{match[0]}{obj.returns}: ", text)
        obj.docstring.value = text
