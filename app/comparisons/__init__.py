"""Records and limits shared by 1:1 and 1:N comparisons: history, disputes, failed attempts.

It must not compare faces.
"""
