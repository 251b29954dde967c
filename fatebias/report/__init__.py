"""report.html: what a run found, as one page; made from the files of the run alone."""
