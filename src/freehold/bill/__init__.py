"""Bill: plans, customers and their subscriptions, rating, invoices, the ledger, reconciliation."""
