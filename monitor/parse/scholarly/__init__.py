"""The scholarly indexes, one file each: how they are asked, and what their answers mean."""
