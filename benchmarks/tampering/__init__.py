"""The parts of `benchmarks.tamper`: loggers, what is done to their logs, and honest writers."""
