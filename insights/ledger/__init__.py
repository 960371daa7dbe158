"""The ledger: proves that no record was lost, invented or changed between two stores, or names those that were."""
