"""The command line, ``longshore``.

The module of a command is imported only when the command is called, so that ``longshore --help`` starts fast.
"""
