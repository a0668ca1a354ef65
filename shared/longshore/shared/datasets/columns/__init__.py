"""From columns of a table to arrays that a network reads."""
