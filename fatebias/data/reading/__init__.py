"""From files and AnnData objects to a `Screen`."""
