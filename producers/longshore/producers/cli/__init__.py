"""The command line, ``longshore``.

Each command stands in a module that is imported when it is called, so that ``longshore --help`` starts at once.
"""
