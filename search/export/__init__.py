"""The best model of a study as a folder, and the page that says what it is worth."""
