"""Inputs that break their model in exactly one place, made from the full models."""
