"""Users, messages, quarantine records and rules as dataclasses and constants; no driver is imported here."""
