"""The core of the server: what holds for every request, whatever it asks for.

A request goes through these layers, from the outside to the inside: the access log, CORS, admission, the token, the
body, kept answers, the routes.
"""
