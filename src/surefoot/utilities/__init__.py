"""Doors for imports that users of the field have in their scripts. The things themselves live elsewhere."""
