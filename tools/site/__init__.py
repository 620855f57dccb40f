"""What the documentation site is built with beyond its theme."""
