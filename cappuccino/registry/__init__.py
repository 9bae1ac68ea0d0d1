"""What was studied, trained and traded: artifacts by their content, what is known of each, and what became of it."""
