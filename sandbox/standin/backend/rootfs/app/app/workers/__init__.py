"""Processes other than the API."""
