"""Deciding which image belongs to which split. Light zone."""
