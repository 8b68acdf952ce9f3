"""Small things that users import by names they know: `from surefoot.utilities.hashing import hash_objects`.

Named so since their imports need it; each module here is a noun, and a thin door. May import: all of this floor.
"""
