"""The processes of an embedded cluster: started, recorded, supervised and stopped."""
