"""How one training is spread over devices."""
