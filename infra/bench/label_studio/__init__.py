"""The same work through Concord and through Label Studio, in turns, over HTTP and on one Postgres server.

Label Studio runs in an environment of its own, of which nothing is imported here.
"""
