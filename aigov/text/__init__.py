"""Text as every guard sees it: parts, normal form, spans and streams."""
