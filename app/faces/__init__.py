"""From an image and a permit to one face's features. It must never decode an image outside a sandboxed worker."""
