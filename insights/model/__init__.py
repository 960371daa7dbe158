"""What the platform moves: users, messages and quarantine records as dataclasses and constants, without any driver."""
