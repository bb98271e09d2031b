"""What is said of forms that are not valid."""

from __future__ import annotations

from django import forms


def first_error(form: forms.BaseForm) -> str:
    """Return the first complaint of a form that is not valid, with its field's label."""
    name, errors = next(iter(form.errors.items()))
    field = form.fields.get(name)
    return f"{field.label or name if field else 'Form'}: {errors[0]}"
