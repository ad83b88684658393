"""What routes and the worker share."""
