"""Orders transactions and makes them durable. Never looks inside a message."""
