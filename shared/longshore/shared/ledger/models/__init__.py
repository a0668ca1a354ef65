"""Models, their versions and their aliases."""
