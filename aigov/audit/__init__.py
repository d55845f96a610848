"""The record: what a call leaves behind, written durably, read strictly and verified from outside."""
