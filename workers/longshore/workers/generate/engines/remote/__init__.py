"""An engine in a process of its own, which may start others: a worker's child may not, by multiprocessing.

The child and the engine's process exchange lines of JSON over a pair of sockets. Nothing is pickled. The engine's
process and those that it starts end when the child closes its end of their standard input, or when the system does
because the child has ended.
"""
