"""Messages to relying parties: outbox, delivery, URL rules. It must never say why a consent ended."""
