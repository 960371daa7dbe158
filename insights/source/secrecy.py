"""Keep keys of the API out of messages and logs, wherever the text of a message comes from."""

from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from insights.text import mask_url, mask_urls

_SHORTEST = 4
"""A shorter text is likely to occur by chance."""
_MASK = "***"


class Concealer:
    """Masks URLs in a text, and every secret of the source itself, which a server may quote in any place."""

    def __init__(self, url: str, header_values: Iterable[str]) -> None:
        secrets = {*_list_url_secrets(url), *(part for value in header_values for part in (value, *value.split()))}
        self._secrets = sorted((text for text in secrets if len(text) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        text = mask_urls(text)
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text


def _list_url_secrets(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    yield from (text for text in (parts.username, parts.password) if text)
    yield from (unquote(text) for text in (parts.username, parts.password) if text)
    for name, value in parse_qsl(parts.query):
        if mask_url(f"?{name}={value}") != f"?{name}={value}":
            yield value
