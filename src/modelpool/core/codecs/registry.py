"""The codecs that are installed, by content type."""

from __future__ import annotations

from modelpool.core.codecs.base import Codec
from modelpool.core.codecs.csv import CsvCodec
from modelpool.core.codecs.json import JsonCodec
from modelpool.core.errors import UnsupportedMediaType
from modelpool.core.plugins import PluginRegistry

CODECS: PluginRegistry[Codec] = PluginRegistry("modelpool.codecs")
CODECS.register(JsonCodec.content_type, JsonCodec())
CODECS.register(CsvCodec.content_type, CsvCodec())


def find_codec(content_type: str) -> Codec:
    """Return the codec of a header such as ``text/csv; charset=utf-8``.

    Raises :class:`~modelpool.core.errors.UnsupportedMediaType` for other types and for charsets other than UTF-8.
    """
    essence, *parameters = (part.strip() for part in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(f"Texts are read in UTF-8 only, not in {value.strip()[:40]!r}.")
    try:
        return CODECS.get(essence.lower())
    except KeyError:
        known = ", ".join(CODECS.names())
        sent = f"{essence[:80]!r} is" if essence else "No content type was sent; that is"
        raise UnsupportedMediaType(f"{sent} not read here; send one of {known}.") from None
