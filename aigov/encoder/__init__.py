"""The small embedded model: one pass over a text says who and where, how hostile, and what it means."""
