"""Losses and scores of events, in memory and from file to file."""
