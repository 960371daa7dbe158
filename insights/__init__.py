"""User Insights: records from the Random User API to Cassandra and a page, with a ledger that proves none was lost."""
