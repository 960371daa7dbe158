"""The Random User API: pages of records, checked whole, credentials and national id removed at this first hop."""

from insights.source.client import Page, SourceClient, seed_for
from insights.source.errors import RETRYABLE, Failure, SourceError

__all__ = ["RETRYABLE", "Failure", "Page", "SourceClient", "SourceError", "seed_for"]
