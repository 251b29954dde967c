"""Charts as SVG: numbers in, Markup out. Colours are classes of style.css, for light and dark."""
