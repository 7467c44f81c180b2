"""HTTP without domain words: authentication, problem documents, pagination, limits, middleware.

It must not know a consent or a face.
"""
