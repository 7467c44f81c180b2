"""Work that runs beside requests: maintenance, log batches, callbacks, template renewal.

It must never delay a request.
"""
