"""What Longshore's speed is measured by: each command runs both sides in one run and prints the ratio."""
