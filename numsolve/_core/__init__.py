"""The ground that every column stands on; it knows none of them."""
