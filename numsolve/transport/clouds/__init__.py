"""Transport between clouds of points: costs are made where they are used, plans are never stored."""
