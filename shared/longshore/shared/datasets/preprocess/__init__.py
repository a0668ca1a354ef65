"""Preprocessing of columns: values become numbers as a version's signature says, and what it says is fitted here."""
