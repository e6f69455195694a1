"""Shows `Example:` sections of docstrings as code, as the standard `Examples:` are."""

import griffe


class Examples(griffe.Extension):
    """Renames the sections before docstrings are parsed."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Renames the section of one object."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
