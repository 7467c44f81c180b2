"""The engines that Mien ships. Each module is imported in a worker only, by name."""
