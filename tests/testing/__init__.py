"""What a user tests an own model with."""
