"""Fits the preprocessing of a table's columns to the rows to train on."""
