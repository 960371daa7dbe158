"""Raw pages in PostgreSQL: load one, read a period again, drop what is old and published."""
