"""The handlers of small job kinds: planning, promotion and export."""
