-- The rows that a batch wrote last: executors write them to Cassandra, each a range of users.
CREATE INDEX users_seq ON analytics.users (seq, user_id);
