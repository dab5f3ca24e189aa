"""Scripts that accelerate launches, for what diffusers has no example of, and what they share."""
