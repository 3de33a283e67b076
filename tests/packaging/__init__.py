"""What is installed is what is tested."""
