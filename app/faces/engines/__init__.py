"""The engines that Mien ships. Only a worker may import their modules, by name."""
