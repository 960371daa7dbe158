"""The Spark side: raw messages to users and quarantine records, as columns, and the streaming query as a process."""
