"""From model.keras to artifacts of other formats, and comparing them. Light zone."""
