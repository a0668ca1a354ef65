"""The endpoints of webhooks: what the gateway and the command line do with them."""
