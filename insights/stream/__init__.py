"""The Spark side: transform raw messages into users and quarantine records, and run the streaming query."""
