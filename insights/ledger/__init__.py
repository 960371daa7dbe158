"""The ledger: proof that no record was lost, invented or changed on its way, or the names of those that were."""
