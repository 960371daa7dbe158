"""Repairs by hand or by schedule: replay, re-drive, recount, retention of batches."""
