"""What the HTTP gateway keeps in Postgres."""
