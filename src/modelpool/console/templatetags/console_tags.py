"""How the console writes times, sizes and figures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DURATIONS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_COUNTS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**4, "k"))


@register.simple_tag
def when(moment: datetime | None, missing: str = "–") -> SafeString | str:
    """Write a moment: in UTC here, in the reader's own zone once the page's script has run."""
    if moment is None:
        return missing
    moment = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" data-when>{} UTC</time>', moment.isoformat(timespec="seconds"), f"{moment:%Y-%m-%d %H:%M}"
    )


@register.filter(name="bytes")
def readable_bytes(size: float | None) -> str:
    """Write a size: ``1536`` as ``1.5 KiB``."""
    if size is None:
        return "–"
    value = float(size)
    for unit in _BYTES[:-1]:
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_BYTES[-1]}"


@register.filter
def count(number: float | None) -> str:
    """Write a count: ``1234`` as ``1,234`` and ``12345678`` as ``12.3 M``."""
    if number is None:
        return "–"
    for size, unit in _COUNTS:
        if abs(number) >= size * 10:
            return f"{number / size:.3g} {unit}"
    return f"{number:,.0f}"


@register.filter
def percent(share: float | None) -> str:
    """Write a share: ``0.934`` as ``93.4 %``; what is not quite all or nothing is not written as if it were."""
    if share is None:
        return "–"
    value = 100 * share
    if value and value < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < value < 100 else f"{value:.1f} %".replace(".0 %", " %")


@register.filter
def metric(value: Any) -> str:
    """Write a metric with four significant digits; anything that is no number as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) and abs(value) < 10**6:
        return f"{value:,}"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 else f"{value:.4g}"


@register.simple_tag
def setting_value(value: Any, unit: str = "") -> str:
    """Write the value of a setting: sizes and durations with their unit, lists with commas, nothing as a dash."""
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if unit == "bytes":
        return readable_bytes(value)
    return duration(value) if unit == "seconds" else str(value)


@register.filter
def duration(seconds: float | None) -> str:
    """Write a time span: ``5400`` as ``1.5 h``."""
    if seconds is None:
        return "–"
    for size, unit in _DURATIONS:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
