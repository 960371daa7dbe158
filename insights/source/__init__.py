"""The client of the Random User API: fetch and verify whole pages, and remove credentials and the national id."""

from insights.source.client import FetchedPage, SourceClient, derive_seed
from insights.source.errors import RETRYABLE, FetchFailure, SourceError

__all__ = ["RETRYABLE", "FetchFailure", "FetchedPage", "SourceClient", "SourceError", "derive_seed"]
