"""Client: makes, signs and sends transactions, keeps wallets, verifies receipts offline."""
