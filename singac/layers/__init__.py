"""What a layer kind is made of: settings, shapes, params and operations."""
