"""The durable store, on real databases."""
