"""Raw pages in PostgreSQL: load a page, read a period again, drop old published partitions."""
