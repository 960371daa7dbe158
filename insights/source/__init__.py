"""The Random User API: pages of records, checked whole, credentials and national id removed at this first hop."""

from insights.source.client import FetchedPage, SourceClient, derive_seed
from insights.source.errors import RETRYABLE, FetchFailure, SourceError

__all__ = ["RETRYABLE", "FetchFailure", "FetchedPage", "SourceClient", "SourceError", "derive_seed"]
