"""From an AnnData file, the bundled screen or a simulation to one `Screen` of plain arrays."""
