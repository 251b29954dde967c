"""From a CellRank object, guides and a guide library to the files of a screen, once and checked."""
