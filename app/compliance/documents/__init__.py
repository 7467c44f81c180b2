"""Documents for the controller, made from settings, data map, relying parties, notices, retention rules and card.

They must not repeat a fact that one of these already states; questions that only people can answer stay open.
"""
