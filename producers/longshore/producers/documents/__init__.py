"""What programs read: jobs, results, versions and workers as JSON documents, from the command line and over HTTP.

The keys are an interface: they stay when attributes of records are renamed.
"""
