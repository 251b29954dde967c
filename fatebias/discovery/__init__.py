"""From daywise effects to ranked hits: mash in R or embedded, then the ranking."""
