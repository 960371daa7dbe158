"""Repairs, started by hand or on a schedule: replay, re-drive, recount, and retention of batches."""
